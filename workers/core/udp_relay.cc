// UdpRelay: the table of flows, the master's messages, claims and timers. udp_forward.cc moves the
// packets.
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
      by_key_(0, ClientKeyHash{net::random_hash_seed()}),
      claim_by_key_(0, by_key_.hash_function()) {
  for (UniqueFd& socket : sockets) {
    const Endpoint bound = net::local_address(socket.get());
    sockets_.push_back({std::move(socket), bound});
  }
  for (std::size_t i = 0; i < special_.size(); ++i) {
    special_[i] = protocol.special(static_cast<std::uint8_t>(i));
  }
  const timeval second = to_timeval(kSecondMs);
  add_or_end(timer_.get(), &second);
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
  claim_by_key_.clear();
  claim_by_slot_.clear();
  parked_bytes_ = 0;
  for (std::uint32_t i = 0; i < flows_.size(); ++i) {
    if (!flows_[i].used || flows_[i].transport == ipc::FlowTransport::kTcp) continue;
    protocol_.on_end(i, {ipc::FlowEndReason::kMoved, "moved"});
    forget(i);
  }
}

// ---- the master's messages

void UdpRelay::on_assign(const ipc::FlowAssign& assign, UniqueFd upstream) {
  Claim claim;
  const auto asked = claims_.find(assign.header.request);
  if (asked != claims_.end()) {
    claim = std::move(asked->second);
    remove_claim(assign.header.request);
  }
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
    if (const auto before = by_slot_.find(assign.flow.slot); before != by_slot_.end()) {
      const std::uint32_t over = before->second;
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
  unpark(claim);
}

// A session that is ours by the master's word and cannot be served now. Its client's next proof, or
// packet, asks for it again.
void UdpRelay::drop_assign(const ipc::FlowAssign& assign, const Claim& claim, bool has_socket) {
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
  auto index = static_cast<std::uint32_t>(flows_.size());
  if (free_.empty()) {
    flows_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  UdpFlow& flow = flows_[index];
  const std::uint32_t generation = flow.generation + 1;
  flow = UdpFlow{};
  flow.used = true;
  flow.generation = generation;
  flow.ref = assign.flow;
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
  by_slot_[assign.flow.slot] = index;
  counters_.add(settings_.counters.flows);
  if (assign.header.request == 0) counters_.add(settings_.counters.takeovers);
  // An SRT client has no path before its origin has named a socket id.
  const bool named = record.kind != ipc::FlowKind::kSrt || record.srt_listener_id != 0;
  if (named && !record.client.empty() && record.transport == ipc::FlowTransport::kUdp) {
    const ClientKey key{record.client, record.srt_listener_id};
    add_path(index, {key, record.local, socket_for(record.local), {}});
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
  UdpFlow& flow = flows_[index];
  for (std::size_t i = 0; i < flow.path_count; ++i) forget_key(flow.paths[i].key, index);
  by_slot_.erase(flow.ref.slot);
  poller_.remove(flow.upstream.get());  // the master's duplicate keeps the socket alive
  flow.upstream.reset();
  flow.used = false;
  flow.key = {};
  free_.push_back(index);
  counters_.sub(settings_.counters.flows);
}

std::uint32_t UdpRelay::find(ipc::FlowRef ref) const {
  const auto found = by_slot_.find(ref.slot);
  if (found == by_slot_.end() || flows_[found->second].ref != ref) return kNoFlow;
  return found->second;
}

std::uint32_t UdpRelay::find(const ClientKey& key) {
  if (found_flow_ != kNoFlow && key == found_key_) return found_flow_;
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return kNoFlow;
  found_key_ = key;
  return found_flow_ = found->second;
}

// ---- the client's paths

void UdpRelay::forget_key(const ClientKey& key, std::uint32_t index) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end() || found->second != index) return;
  by_key_.erase(found);
  found_flow_ = kNoFlow;
}

void UdpRelay::drop_path(std::uint32_t index, const ClientKey& key) {
  UdpFlow& flow = flows_[index];
  for (std::uint8_t i = 0; i < flow.path_count;) {
    if (flow.paths[i].key != key) {
      ++i;
      continue;
    }
    const std::uint8_t last = --flow.path_count;
    if (flow.current == i) {
      flow.current = kNoPath;
    } else if (flow.current == last) {
      flow.current = i;
    }
    flow.paths[i] = flow.paths[last];
  }
  forget_key(key, index);
}

std::uint8_t UdpRelay::add_path(std::uint32_t index, const ClientPacket& packet) {
  UdpFlow& flow = flows_[index];
  const std::uint64_t now = monotonic_ms();
  std::uint8_t oldest = 0;
  for (std::uint8_t i = 0; i < flow.path_count; ++i) {
    UdpClientPath& path = flow.paths[i];
    if (path.key == packet.key && path.local == packet.local) {
      path.socket = packet.socket;
      path.packet_ms = path.proof_ms = now;
      return i;
    }
    const bool spare = oldest == flow.current || path.packet_ms < flow.paths[oldest].packet_ms;
    if (i != flow.current && spare) oldest = i;
  }
  if (const std::uint32_t other = find(packet.key); other != kNoFlow && other != index) {
    drop_path(other, packet.key);
  }
  std::uint8_t at = flow.path_count;
  if (at < kClientPaths) {
    ++flow.path_count;
  } else {
    at = oldest;
    const ClientKey old = flow.paths[at].key;
    const auto same = std::count_if(flow.paths.begin(), flow.paths.end(),
                                    [&](const UdpClientPath& p) { return p.key == old; });
    if (same == 1) forget_key(old, index);
  }
  flow.paths[at] = {packet.key, packet.local, packet.socket, now, now};
  by_key_[packet.key] = index;
  found_flow_ = kNoFlow;
  return at;
}

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
  if (draining_ || claims_.size() >= limits::kUdpClaims) return 0;
  const bool waits = how.transport == ipc::FlowTransport::kUdp && !packet.bytes.empty();
  if (claim_by_slot_.contains(ref.slot)) {
    if (waits) park(packet, packet.bytes.size());
    return 0;
  }
  if (waits && claim_by_key_.contains(packet.key)) return 0;
  const std::uint32_t request = link_.next_request();
  if (!send_claim(request, ref, packet, how)) return 0;
  Claim& claim = claims_[request];
  claim.ref = ref;
  claim.from = packet;
  claim.from.bytes = {};
  claim.how = how;
  claim.started_ms = monotonic_ms();
  claim_by_slot_[ref.slot] = request;
  if (waits) {
    claim_by_key_[packet.key] = request;
    park(packet, packet.bytes.size());
  }
  return request;
}

bool UdpRelay::park(const ClientPacket& packet, std::size_t segment) {
  const auto found = claim_by_key_.find(packet.key);
  if (found == claim_by_key_.end()) return false;
  Claim& claim = claims_[found->second];
  for (std::size_t at = 0; at < packet.bytes.size(); at += segment) {
    const ByteView one = packet.bytes.subspan(at, std::min(segment, packet.bytes.size() - at));
    if (claim.bytes + one.size() > limits::kUdpParkedBytes ||
        parked_bytes_ + one.size() > limits::kUdpParkedBytesInAll) {
      counters_.add(settings_.counters.drops_up);
      continue;
    }
    claim.parked.emplace_back(one.begin(), one.end());
    claim.bytes += one.size();
    parked_bytes_ += one.size();
    counters_.add(settings_.counters.parked);
  }
  return true;
}

void UdpRelay::unpark(const Claim& claim) {
  ClientPacket packet = claim.from;
  now_ms_ = monotonic_ms();
  for (const std::vector<std::uint8_t>& bytes : claim.parked) {
    packet.bytes = bytes;
    sort_piece(packet, {packet.bytes, std::max<std::size_t>(bytes.size(), 1)});
  }
  send_upward();
}

void UdpRelay::remove_claim(std::uint32_t request) {
  const auto found = claims_.find(request);
  if (found == claims_.end()) return;
  // After the move of the caller the texts are gone, but not what the indexes need.
  parked_bytes_ -= found->second.bytes;
  claim_by_slot_.erase(found->second.ref.slot);
  const auto key = claim_by_key_.find(found->second.from.key);
  if (key != claim_by_key_.end() && key->second == request) claim_by_key_.erase(key);
  claims_.erase(found);
}

void UdpRelay::expire_claims(std::uint64_t now) {
  std::vector<std::uint32_t> late;
  for (const auto& [request, claim] : claims_) {
    if (now - claim.started_ms < kClaimTimeoutMs) continue;
    late.push_back(request);
    counters_.add(settings_.counters.drops_up, claim.parked.size());
  }
  for (const std::uint32_t request : late) {
    remove_claim(request);
    counters_.add(settings_.counters.claims_refused);
    protocol_.on_refused(request, ipc::FlowStatus::kBusy);
  }
}

// ---- timers

void UdpRelay::on_second() {
  const std::uint64_t now = monotonic_ms();
  expire_claims(now);
  if (serving_ && !draining_) watch_slots();
  for (std::uint32_t i = 0; i < flows_.size(); ++i) {
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

// What the session has moved since its last row; false when that is nothing.
bool UdpRelay::add_row(UdpFlow& flow, ipc::FlowStats& message) {
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

void UdpRelay::send_stats() {
  ipc::FlowStats message;
  for (UdpFlow& flow : flows_) {
    if (!flow.used || !add_row(flow, message)) continue;
    if (message.row_count < ipc::kFlowStatsRows) continue;
    link_.send(message);
    message.row_count = 0;
  }
  if (message.row_count > 0) link_.send(message);
}

}  // namespace weir
