// RtcWorker: STUN and the addresses of clients, the master's messages, the end of sessions.
#include "workers/rtc/rtc_worker.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/clock.h"
#include "common/net/crypto.h"
#include "common/proto/rtc/demux.h"
#include "workers/core/origin_text.h"
#include "workers/core/worker_main.h"

namespace weir::rtc {
namespace {

using ipc::Counter;

constexpr StunCrypto kCrypto{net::hmac_sha1};
constexpr std::uint64_t kTimerMs = 100;

constexpr UdpCounters kRelayCounters{Counter::kRtcPacketsFromClients,
                                     Counter::kRtcPacketsToClients,
                                     Counter::kRtcBytesFromClients,
                                     Counter::kRtcBytesToClients,
                                     Counter::kRtcDropsUp,
                                     Counter::kRtcDropsDown,
                                     Counter::kRtcParked,
                                     Counter::kRtcStrangers,
                                     Counter::kRtcSessions,
                                     Counter::kRtcClaims,
                                     Counter::kRtcClaimsRefused,
                                     Counter::kRtcTakeovers};

Counter counter_of(std::string_view why) {
  if (why == "client_silent") return Counter::kRtcEndClientSilent;
  if (why == "origin_silent") return Counter::kRtcEndOriginSilent;
  if (why == "origin_gone") return Counter::kRtcEndOriginGone;
  if (why == "client_closed") return Counter::kRtcEndClientClosed;
  if (why == "deleted") return Counter::kRtcEndDeleted;
  if (why == "kicked") return Counter::kRtcEndKicked;
  return Counter::kRtcEndOther;
}

}  // namespace

RtcWorker::RtcWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
                     ipc::StateView&& state, ipc::FlowView&& table, ipc::Counters&& counters)
    : context_(std::move(context)),
      config_(config),
      base_(base),
      state_(std::move(state)),
      table_(std::move(table)),
      counters_(std::move(counters)),
      seed_(net::random_hash_seed()),
      transactions_(seed_),
      access_log_(base),
      link_(base, std::move(context_.channel), context_.kind, counters_,
            {[this](ipc::MessageType type, ByteView bytes) { on_message(type, bytes); },
             [this](std::uint64_t deadline_ms) { drain(deadline_ms); }, [this] { quit(); },
             [this](const ipc::FlowAssign& assign, UniqueFd upstream) {
               relay_.on_assign(assign, std::move(upstream));
             }}),
      relay_(base, {config.rtc.relay_delay, config.rtc.idle_timeout, false, kRelayCounters}, *this,
             link_, table_, counters_, std::move(context_.udp_sockets)),
      legs_(base, {[this](LegRef ref, ByteView packet) { on_leg_packet(ref, packet); },
                   [this](LegRef ref) { on_leg_closed(ref); }}),
      acceptor_(base, std::move(context_.listeners),
                {1, proxy_settings(config, config.rtc.handshake_timeout)}, counters_,
                {[this](UniqueFd fd, const Accepted& who) { on_accept(std::move(fd), who.client); },
                 [this] {
                   return Acceptor::Load{legs_.size(), legs_.size() + relay_.flows().size()};
                 },
                 [this] { counters_.add(Counter::kRtcTcpRefused); }, [this] { maybe_leave(); }}),
      timer_(event_new(
          base, -1, EV_PERSIST,
          [](evutil_socket_t, short, void* self) { static_cast<RtcWorker*>(self)->on_timer(); },
          this)) {}

void RtcWorker::run() {
  acceptor_.start();
  const timeval wait = to_timeval(kTimerMs);
  add_or_end(timer_.get(), &wait);
  ipc::Ready ready;
  link_.send(ready);
  event_base_dispatch(base_);
}

// ---- packets of clients

std::uint32_t RtcWorker::client_id(ByteView) const {
  return 0;
}

bool RtcWorker::special(std::uint8_t first_byte) const {
  return packet_kind({&first_byte, 1}) == PacketKind::kStun;
}

bool RtcWorker::inspect(const ClientPacket& packet, std::uint32_t flow) {
  StunMessage message;
  switch (classify_stun(packet.bytes, message)) {
    case StunUse::kMalformed:
      counters_.add(Counter::kRtcStunMalformed);
      return false;
    case StunUse::kPlain:
      answer_plain(message, packet);
      return false;
    case StunUse::kOther:
      return flow != kNoFlow;
    case StunUse::kCheck:
      break;
  }
  Proof proof;
  ipc::FlowRecord record;
  if (prove(message, {packet.key.address, packet.local, packet.socket, false}, proof, record)) {
    on_proof(proof, record, packet);
  }
  return false;
}

// Nothing of the request is believed, and nothing kept, until its sum fits the answer's password.
bool RtcWorker::prove(const StunMessage& request, const TransactionTable::From& from, Proof& out,
                      ipc::FlowRecord& record) {
  const auto hit = table_.find_username(request.username, record);
  if (!hit || record.kind != ipc::FlowKind::kRtc) {
    counters_.add(Counter::kRtcStunUnknown);
    return false;
  }
  const auto field = hit->which == 0 ? ipc::FlowField::kPassword : ipc::FlowField::kSecondPassword;
  if (!integrity_ok(request, as_bytes(record.get(field)), kCrypto)) {
    counters_.add(Counter::kRtcStunForged);
    return false;
  }
  out.flow = hit->flow;
  out.tag = path_tag(seed_, from.client, from.local);
  out.use_candidate = request.use_candidate;
  const auto seen = transactions_.note(request.transaction, out.tag, from);
  if (seen == TransactionTable::Seen::kElsewhere) {
    counters_.add(Counter::kRtcStunReplayed);
    return false;
  }
  out.fresh = seen == TransactionTable::Seen::kNew;
  out.repeated =
      out.fresh && proofs_.repeated(out.flow.slot, out.flow.generation, out.tag, monotonic_ms());
  counters_.add(Counter::kRtcStunProven);
  return true;
}

// Whether another session speaks from that address at this moment. Whoever has a session of his own
// could else send its requests with other clients' addresses, and so push them off their own.
bool RtcWorker::taken(const Proof& proof, const ClientKey& key) {
  const std::uint32_t other = relay_.find(key);
  if (other == kNoFlow) return false;
  const UdpFlow& flow = relay_.flow(other);
  if (flow.ref == proof.flow || !flow.media_seen) return false;
  const std::uint64_t now = monotonic_ms();
  const bool in_use = std::any_of(flow.paths.begin(), flow.paths.begin() + flow.path_count,
                                  [&](const UdpClientPath& path) {
                                    return path.key == key && now < path.packet_ms + kQuietMs;
                                  });
  if (in_use) counters_.add(Counter::kRtcStunTaken);
  return in_use;
}

// Asks the master for a session that is not here, as far as the proof goes. The number of the
// request, 0: there is none.
std::uint32_t RtcWorker::claim(const Proof& proof, const ipc::FlowRecord& record,
                               const ClientPacket& packet, ipc::FlowTransport transport) {
  const std::uint64_t now = monotonic_ms();
  ClaimQuestion question;
  question.fresh = proof.fresh;
  question.has_client = !record.client.empty();
  question.same_client = ipc::same_endpoint(record.client, packet.key.address);
  question.owned = record.owner != ipc::kNoSlot;
  question.by_tcp = transport == ipc::FlowTransport::kTcp;
  question.recorded_tcp = record.transport == ipc::FlowTransport::kTcp;
  question.young = now < record.created_ms + kYoungMs;
  const Claim what = decide_claim(question);
  if (what == Claim::kNone ||
      (what == Claim::kOwner && !claim_pace_.take(proof.flow.slot, proof.flow.generation, now))) {
    return 0;
  }
  return relay_.claim(proof.flow, packet, {transport, !question.has_client, what == Claim::kOwner});
}

void RtcWorker::on_proof(const Proof& proof, const ipc::FlowRecord& record,
                         const ClientPacket& packet) {
  if (taken(proof, packet.key)) return;
  const std::uint32_t index = relay_.find(proof.flow);
  if (index == kNoFlow) {
    // What serves this address here until now is over: the client has proven to be another one.
    if (const std::uint32_t old = relay_.find(packet.key); old != kNoFlow) {
      relay_.flows().drop_path(old, packet.key);
    }
    claim(proof, record, packet, ipc::FlowTransport::kUdp);
    return;
  }
  relay_.flows().add_path(index, packet);
  relay_.flow(index).stun_ms = monotonic_ms();
  on_way(index, {false, packet.key, packet.local}, proof);
  relay_.forward(index, packet.bytes);
}

// DTLS or media from an address that no session here has: perhaps another worker served it.
void RtcWorker::on_stranger(const ClientPacket& packet) {
  const PacketKind kind = packet_kind(packet.bytes);
  if (kind != PacketKind::kDtls && kind != PacketKind::kRtp) return;
  ipc::FlowRecord record;
  const auto hit = table_.find_client(packet.key.address, record);
  if (!hit || record.kind != ipc::FlowKind::kRtc || record.transport != ipc::FlowTransport::kUdp) {
    return;
  }
  relay_.claim(hit->flow, packet);
}

// ---- packets of origins

// An answer to a check goes back the way that the check came, whatever way the media takes, also if
// it is one of more ways than are kept: at first ICE checks all its pairs at once.
std::uint8_t RtcWorker::path_of(std::uint32_t index, ByteView packet) {
  const UdpFlow& flow = relay_.flow(index);
  StunMessage message;
  if (parse_stun(packet, message) != StunError::kNone) return flow.media_path();
  if (message.cls != StunClass::kSuccess && message.cls != StunClass::kError) {
    return flow.media_path();
  }
  const TransactionTable::From* from = transactions_.from_of(message.transaction);
  if (from == nullptr) return flow.media_path();
  if (from->tcp) {
    const TcpLeg* leg = leg_of(index);
    const bool same = leg != nullptr && leg->client == from->client && leg->local == from->local;
    return same ? kTcpPath : flow.media_path();
  }
  for (std::uint8_t i = 0; i < flow.path_count; ++i) {
    if (flow.paths[i].key.address == from->client && flow.paths[i].local == from->local) return i;
  }
  relay_.reply({{from->client, 0}, from->local, from->socket, {}}, packet);
  return kTaken;
}

// ---- the STUN server

void RtcWorker::answer_plain(const StunMessage& request, const ClientPacket& packet) {
  counters_.add(Counter::kRtcStunPlain);
  if (!config_.rtc.stun_server || request.unknown_required != 0) return;
  std::array<std::uint8_t, kStunWriteBytes> buffer;
  const ByteView answer =
      write_binding_success(buffer, request.transaction, packet.key.address, {}, kCrypto);
  const std::uint32_t tag = path_tag(seed_, packet.key.address, {});
  if (!stun_budget_.take(tag, packet.bytes.size(), answer.size(), monotonic_ms())) return;
  counters_.add(Counter::kRtcStunAnswered);
  relay_.reply(packet, answer);
}

// ---- sessions

std::string RtcWorker::origin_text(const UdpFlow& flow) const {
  return weir::origin_text(state_, flow.origin, flow.origin_endpoint);
}

void RtcWorker::on_begin(std::uint32_t index) {
  UdpFlow& flow = relay_.flow(index);
  const UdpClientPath* client = flow.client();
  LogLine(LogLevel::kDebug, "WebRTC session is served here")
      .session(flow.session)
      .field("stream", flow.key)
      .field("client", client != nullptr ? to_string(client->key.address) : "")
      .field("origin", [&] { return origin_text(flow); });
  const auto waiting = waiting_legs_.find(flow.ref.slot);
  if (waiting == waiting_legs_.end()) return;
  const LegRef ref = waiting->second;
  waiting_legs_.erase(waiting);
  TcpLeg* leg = legs_.find(ref);
  if (leg == nullptr) return;
  leg->claim = 0;
  attach(ref, index);
  legs_.resume(ref);
  const std::vector<std::uint8_t> first = std::exchange(leg->first, {});
  on_leg_packet(ref, first);
}

void RtcWorker::on_end(std::uint32_t index, const UdpEnd& end) {
  const UdpFlow& flow = relay_.flow(index);
  if (const auto found = leg_of_flow_.find(index); found != leg_of_flow_.end()) {
    legs_.close(found->second);
    leg_of_flow_.erase(found);
  }
  if (end.reason == ipc::FlowEndReason::kMoved) {
    counters_.add(Counter::kRtcMovedAway);
  } else {
    counters_.add(counter_of(end.why));
    log_end(flow, end);
  }
}

void RtcWorker::log_end(const UdpFlow& flow, const UdpEnd& end) {
  if (!log_enabled(LogLevel::kInfo) && !access_log_enabled()) return;
  const UdpClientPath* client = flow.client();
  const std::string origin = origin_text(flow);
  LogLine(LogLevel::kInfo, "WebRTC session ended")
      .session(flow.session)
      .field("reason", end.why)
      .field("stream", flow.key)
      .field("client", client != nullptr ? to_string(client->key.address) : "")
      .field("origin", origin)
      .field("packets_from_client", flow.total.packets_from_client)
      .field("packets_to_client", flow.total.packets_to_client)
      .field("drops", flow.total.drops);
  AccessRecord record;
  record.session = flow.session;
  record.protocol = "rtc";
  record.method = flow.role == ipc::Role::kPublisher ? "publish" : "play";
  if (client != nullptr) record.client = client->key.address;
  record.stream = flow.key;
  record.origin = origin;
  record.bytes_from_client = flow.total.bytes_from_client;
  record.bytes_to_client = flow.total.bytes_to_client;
  const std::uint64_t now = monotonic_ms();
  record.duration_ms = now > flow.created_ms ? now - flow.created_ms : 0;
  record.reason = end.why;
  access_log_.write(record, nullptr);
}

void RtcWorker::on_refused(std::uint32_t request, ipc::FlowStatus status) {
  std::erase_if(waiting_legs_, [&](const auto& entry) {
    TcpLeg* leg = legs_.find(entry.second);
    if (leg != nullptr && leg->claim != request) return false;
    legs_.close(entry.second);
    return true;
  });
  LogLine(LogLevel::kDebug, "claim of a session refused").field("reason", ipc::to_string(status));
}

// ---- the master's messages, timer, the end

void RtcWorker::on_message(ipc::MessageType type, ByteView bytes) {
  if (type == ipc::MessageType::kServe) {
    relay_.serve();
  } else if (type == ipc::MessageType::kFlowRelease) {
    ipc::FlowRelease release;
    if (ipc::decode(bytes, release)) relay_.on_release(release);
    maybe_leave();
  }
}

void RtcWorker::drain(std::uint64_t deadline_ms) {
  drain_deadline_ms_ = deadline_ms;
  acceptor_.stop();
  relay_.drain();
  maybe_leave();
}

void RtcWorker::quit() {
  relay_.send_stats();
  event_base_loopbreak(base_);
}

// Sessions over TCP stay with their connection; all others live on at the next worker.
void RtcWorker::maybe_leave() {
  if (relay_.draining() && relay_.flows().size() + acceptor_.pending() == 0) {
    event_base_loopbreak(base_);
  }
}

void RtcWorker::on_timer() {
  const std::uint64_t now = monotonic_ms();
  if (!movers_.empty()) check_movers(now);
  if (!abandoned_.empty()) end_abandoned(now);
  const std::uint64_t limit = config_.rtc.handshake_timeout;
  if (now > limit) legs_.close_unproven(now - limit);
  if (relay_.draining()) {
    if (drain_deadline_ms_ != 0 && now >= drain_deadline_ms_) quit();
    maybe_leave();
  }
}

}  // namespace weir::rtc

namespace weir::ipc {

int run_rtc_worker(WorkerContext&& context, const Config& config) {
  auto table = FlowView::map(context.flows.get());
  if (!table) {
    LogLine(LogLevel::kError, "cannot map the session table").field("error", table.error().text);
    return kExitDoNotRespawn;
  }
  return run_worker<rtc::RtcWorker>(std::move(context), config, std::move(*table));
}

}  // namespace weir::ipc
