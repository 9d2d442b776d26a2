#include "workers/core/udp_relay.h"
#include "common/net/tcp.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/crypto.h"

namespace weir {
namespace {

constexpr std::uint64_t kSecondMs = 1000;
constexpr std::uint64_t kStatsEverySeconds = 2;
constexpr std::uint64_t kClaimTimeoutMs = 3000;
// How long the origin's port may be closed (it is being restarted, say) before the session ends.
constexpr std::uint64_t kRefusedMs = 10000;

ipc::FlowCounters since(const ipc::FlowCounters& now, const ipc::FlowCounters& before) {
  return {now.packets_from_client - before.packets_from_client,
          now.bytes_from_client - before.bytes_from_client,
          now.packets_to_client - before.packets_to_client,
          now.bytes_to_client - before.bytes_to_client,
          now.drops - before.drops,
          now.lost_from_client - before.lost_from_client,
          now.lost_to_client - before.lost_to_client};
}

// What the session has moved since its last row; false when that is nothing.
bool add_row(UdpFlow& flow, ipc::FlowStats& message) {
  const std::uint64_t activity = std::max(flow.client_ms, flow.origin_ms);
  if (activity <= flow.reported_ms && flow.total.drops == flow.reported.drops) return false;
  ipc::FlowStatsRow& row = message.rows[message.row_count++];
  row = {flow.ref,    since(flow.total, flow.reported),
         activity,    flow.stun_ms,
         flow.rtt_us, flow.rtt_variance_us};
  flow.reported = flow.total;
  flow.reported_ms = activity;
  return true;
}

}  // namespace

UdpRelay::UdpRelay(event_base* base, const UdpRelaySettings& settings, UdpProtocol& protocol,
                   MasterLink& link, const ipc::FlowView& table, ipc::Counters& counters,
                   std::vector<UniqueFd> sockets)
    : settings_(settings),
      protocol_(protocol),
      link_(link),
      table_(table),
      counters_(counters),
      poller_(base, settings.delay_ms, [this](std::uint64_t token) { return on_ready(token); }),
      timer_(event_new(
          base, -1, EV_PERSIST,
          [](evutil_socket_t, short, void* self) { static_cast<UdpRelay*>(self)->on_second(); },
          this)),
      flows_(net::random_hash_seed()),
      claims_(net::random_hash_seed(), counters, settings.counters.parked,
              settings.counters.drops_up),
      forwarder_(settings, protocol, flows_, claims_, sockets_, counters) {
  for (UniqueFd& socket : sockets) {
    const Endpoint bound = net::local_address(socket.get());
    sockets_.push_back({std::move(socket), bound});
  }
  const timeval second = to_timeval(kSecondMs);
  add_or_end(timer_.get(), &second);
}

bool UdpRelay::on_ready(std::uint64_t token) {
  const Token at = Token::unpack(token);
  if (at.side == 1) return !draining_ && forwarder_.read_clients(at.index);
  return at.index < flows_.limit() && flows_[at.index].used &&
         flows_[at.index].generation == at.generation && forwarder_.read_origin(at.index);
}

void UdpRelay::serve() {
  if (serving_ || draining_) return;
  serving_ = true;
  watch_slots();
}

// Also each second: a slot socket that the kernel does not take into the event set has its clients
// all the same, and they would wait for nobody.
void UdpRelay::watch_slots() {
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    if (sockets_[i].watched) continue;
    const Token token{static_cast<std::uint32_t>(i), 0, 1};
    sockets_[i].watched = poller_.add(sockets_[i].fd.get(), EPOLLIN, token.pack());
    if (sockets_[i].watched) continue;
    LogLine(LogLevel::kError, "a slot socket cannot be watched, trying again")
        .field("local", to_string(sockets_[i].bound))
        .field("error", std::strerror(errno));
  }
}

void UdpRelay::drain() {
  if (draining_) return;
  draining_ = true;
  send_stats();
  if (serving_) {
    for (const SlotSocket& socket : sockets_) poller_.remove(socket.fd.get());
  }
  claims_.clear();
  for (std::uint32_t i = 0; i < flows_.limit(); ++i) {
    if (!flows_[i].used || flows_[i].transport == ipc::FlowTransport::kTcp) continue;
    protocol_.on_end(i, {ipc::FlowEndReason::kMoved, "moved"});
    forget(i);
  }
}

// ---- the master's messages

void UdpRelay::on_assign(const ipc::FlowAssign& assign, UniqueFd upstream) {
  const UdpClaims::Claim claim = claims_.take(assign.header.request).value_or(UdpClaims::Claim{});
  const std::uint32_t index = find(assign.flow);
  if (assign.status != ipc::FlowStatus::kOk) {
    counters_.add(settings_.counters.claims_refused);
    counters_.add(settings_.counters.drops_up, claim.parked.size());
    if (index != kNoFlow) flows_[index].recorded = false;  // told again with the next proof
    protocol_.on_refused(assign.header.request, assign.status);
    return;
  }
  if (index != kNoFlow) {
    // A new address of a session that is here, or one that the master gave anew.
    if (upstream) {
      poller_.remove(flows_[index].upstream.get());
      flows_[index].upstream = std::move(upstream);
      watch(index);
    }
    if (claim.how.transport == ipc::FlowTransport::kTcp) {
      if (!claim.how.keep_client) flows_[index].transport = ipc::FlowTransport::kTcp;
      protocol_.on_begin(index);
    }
  } else {
    ipc::FlowRecord record;
    if (!upstream || draining_ || !table_.read(assign.flow, record)) {
      drop_assign(assign, claim, static_cast<bool>(upstream));
      return;
    }
    // The session that had this slot is over, although nobody has told.
    if (const std::uint32_t over = flows_.find_slot(assign.flow.slot); over != kNoFlow) {
      protocol_.on_end(over, {ipc::FlowEndReason::kMoved, "moved"});
      forget(over);
    }
    const std::uint32_t adopted = adopt(assign, record, std::move(upstream));
    flows_[adopted].media_seen = !claim.how.first;
    if (claim.how.transport == ipc::FlowTransport::kTcp && !claim.how.keep_client) {
      flows_[adopted].transport = ipc::FlowTransport::kTcp;
    }
    protocol_.on_begin(adopted);
  }
  forwarder_.resume(claim);
}

// A session that is ours by the master's word and cannot be served now. Its client's next proof, or
// packet, asks for it again.
void UdpRelay::drop_assign(const ipc::FlowAssign& assign, const UdpClaims::Claim& claim,
                           bool has_socket) {
  counters_.add(settings_.counters.drops_up, claim.parked.size());
  if (draining_ || assign.keep_socket) return;  // it has ended here meanwhile
  counters_.add(settings_.counters.claims_refused);
  std::uint64_t suppressed = 0;
  if (!has_socket && shortage_log_.take(monotonic_ms(), suppressed)) {
    LogLine(LogLevel::kError, "no descriptor for a session")
        .session(assign.session)
        .field("suppressed", suppressed);
  }
  protocol_.on_refused(assign.header.request,
                       has_socket ? ipc::FlowStatus::kUnknown : ipc::FlowStatus::kNoDescriptors);
}

std::uint32_t UdpRelay::adopt(const ipc::FlowAssign& assign, const ipc::FlowRecord& record,
                              UniqueFd upstream) {
  const std::uint32_t index = flows_.add(assign.flow);
  UdpFlow& flow = flows_[index];
  flow.session = assign.session;
  flow.role = record.role;
  flow.transport = record.transport;
  flow.origin = record.origin;
  flow.origin_endpoint = record.origin_endpoint;
  flow.key = record.get(ipc::FlowField::kKey);
  flow.upstream = std::move(upstream);
  flow.total = flow.reported = record.counters;
  flow.created_ms = record.created_ms;
  flow.client_ms = flow.origin_ms = monotonic_ms();
  flow.stun_ms = record.stun_ms;
  flow.rtt_us = record.srt_rtt_us;
  flow.rtt_variance_us = record.srt_rtt_variance_us;
  flow.srt_caller_id = record.srt_caller_id;
  counters_.add(settings_.counters.flows);
  if (assign.header.request == 0) counters_.add(settings_.counters.takeovers);
  // An SRT client has no path before its origin has named a socket id.
  const bool named = record.kind != ipc::FlowKind::kSrt || record.srt_listener_id != 0;
  if (named && !record.client.empty() && record.transport == ipc::FlowTransport::kUdp) {
    const ClientKey key{record.client, record.srt_listener_id};
    flows_.add_path(index, {key, record.local, socket_for(record.local), {}});
    flow.paths[0].proof_ms = 0;
    flow.current = 0;
  }
  watch(index);
  return index;
}

// Reads what the origin sends from now on. If the kernel refuses, on_second() tries again.
void UdpRelay::watch(std::uint32_t index) {
  UdpFlow& flow = flows_[index];
  flow.watched = poller_.add(flow.upstream.get(), EPOLLIN, Token{index, flow.generation, 0}.pack());
}

// False when the kernel refused twice, and the session is over.
bool UdpRelay::watch_again(std::uint32_t index, std::uint64_t now) {
  const UdpFlow& flow = flows_[index];
  if (flow.watched) return true;
  watch(index);
  if (flow.watched) return true;
  const int error = errno;
  std::uint64_t suppressed = 0;
  if (shortage_log_.take(now, suppressed)) {
    LogLine(LogLevel::kError, "a session ends, the kernel does not watch its socket")
        .session(flow.session)
        .field("error", std::strerror(error))
        .field("suppressed", suppressed);
  }
  end(index, {ipc::FlowEndReason::kOriginGone, "unwatched"});
  return false;
}

void UdpRelay::on_release(const ipc::FlowRelease& release) {
  const std::uint32_t index = find(release.flow);
  if (index == kNoFlow) return;
  protocol_.on_end(index, {release.reason, ipc::to_string(release.reason)});
  forget(index);
}

void UdpRelay::end(std::uint32_t index, const UdpEnd& end) {
  // The counters travel before the end, or the master has nobody to add them to.
  ipc::FlowStats last;
  if (add_row(flows_[index], last)) link_.send(last);
  ipc::FlowEnd message;
  message.flow = flows_[index].ref;
  message.reason = end.reason;
  link_.send(message);
  protocol_.on_end(index, end);
  forget(index);
}

void UdpRelay::forget(std::uint32_t index) {
  // The master's duplicate keeps the socket alive.
  poller_.remove(flows_[index].upstream.get());
  flows_.erase(index);
  counters_.sub(settings_.counters.flows);
}

// ---- the client's paths

void UdpRelay::point_to(std::uint32_t index, std::uint8_t path) {
  UdpFlow& flow = flows_[index];
  flow.recorded = false;
  flow.transport = path == kTcpPath ? ipc::FlowTransport::kTcp : ipc::FlowTransport::kUdp;
  if (path == kTcpPath) return;
  flow.current = path;
  flow.segment_down = true;  // another way, another device
}

void UdpRelay::move_client(std::uint32_t index, std::uint8_t path) {
  UdpFlow& flow = flows_[index];
  const bool same = flow.transport == ipc::FlowTransport::kUdp && flow.current == path;
  if (same && flow.recorded) return;
  point_to(index, path);
  const UdpClientPath& to = flow.paths[path];
  flow.recorded = send_claim(link_.next_request(), flow.ref, {to.key, to.local, to.socket, {}}, {});
}

void UdpRelay::move_to_tcp(std::uint32_t index, const Endpoint& client, const Endpoint& local) {
  UdpFlow& flow = flows_[index];
  point_to(index, kTcpPath);
  flow.recorded = send_claim(link_.next_request(), flow.ref, {{client, 0}, local, 0, {}},
                             {ipc::FlowTransport::kTcp});
}

std::uint16_t UdpRelay::socket_for(const Endpoint& local) const {
  std::size_t wildcard = 0;
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    const Endpoint& bound = sockets_[i].bound;
    if (bound.port != local.port) continue;
    if (bound.same_address(local)) return static_cast<std::uint16_t>(i);
    if (bound.is_any() && bound.takes(local.family)) wildcard = i;
  }
  return static_cast<std::uint16_t>(wildcard);
}

// ---- claims

bool UdpRelay::send_claim(std::uint32_t request, ipc::FlowRef ref, const ClientPacket& from,
                          UdpClaim how) {
  ipc::FlowClaim message;
  message.header.request = request;
  message.flow = ref;
  message.client = from.key.address;
  message.local = from.local;
  message.transport = how.transport;
  message.keep_client = how.keep_client ? 1 : 0;
  message.has_socket = find(ref) != kNoFlow ? 1 : 0;
  message.srt_listener_id = from.key.id;
  counters_.add(settings_.counters.claims);
  return link_.send(message);
}

std::uint32_t UdpRelay::claim(ipc::FlowRef ref, const ClientPacket& packet, UdpClaim how) {
  if (draining_ || claims_.full()) return 0;
  const bool waits = how.transport == ipc::FlowTransport::kUdp && !packet.bytes.empty();
  if (claims_.has_slot(ref.slot)) {
    if (waits) claims_.park(packet, packet.bytes.size());
    return 0;
  }
  if (waits && claims_.has_key(packet.key)) return 0;
  const std::uint32_t request = link_.next_request();
  if (!send_claim(request, ref, packet, how)) return 0;
  claims_.add(request, ref, packet, how, monotonic_ms(), waits);
  return request;
}

void UdpRelay::expire_claims(std::uint64_t now) {
  for (const std::uint32_t request : claims_.older_than(now - kClaimTimeoutMs)) {
    const auto late = claims_.take(request);
    if (!late) continue;
    counters_.add(settings_.counters.drops_up, late->parked.size());
    counters_.add(settings_.counters.claims_refused);
    protocol_.on_refused(request, ipc::FlowStatus::kBusy);
  }
}

// ---- timers

void UdpRelay::on_second() {
  const std::uint64_t now = monotonic_ms();
  expire_claims(now);
  if (serving_ && !draining_) watch_slots();
  for (std::uint32_t i = 0; i < flows_.limit(); ++i) {
    if (flows_[i].used && watch_again(i, now)) check_idle(i, now);
  }
  if (++seconds_ % kStatsEverySeconds == 0) send_stats();
}

void UdpRelay::check_idle(std::uint32_t index, std::uint64_t now) {
  const UdpFlow& flow = flows_[index];
  const std::uint64_t limit = settings_.idle_timeout_ms;
  if (flow.refused_since_ms != 0 && now - flow.refused_since_ms > kRefusedMs) {
    end(index, {ipc::FlowEndReason::kOriginGone, "origin_gone"});
  } else if (now > flow.client_ms + limit) {
    end(index, {ipc::FlowEndReason::kIdle, "client_silent"});
  } else if (now > flow.origin_ms + limit) {
    end(index, {ipc::FlowEndReason::kIdle, "origin_silent"});
  }
}

void UdpRelay::send_stats() {
  ipc::FlowStats message;
  for (std::uint32_t i = 0; i < flows_.limit(); ++i) {
    UdpFlow& flow = flows_[i];
    if (!flow.used || !add_row(flow, message)) continue;
    if (message.row_count < ipc::kFlowStatsRows) continue;
    link_.send(message);
    message.row_count = 0;
  }
  if (message.row_count > 0) link_.send(message);
}

}  // namespace weir
