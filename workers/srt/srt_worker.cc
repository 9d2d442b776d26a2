// SrtWorker: packets of established connections, the master's messages, the end of sessions.
#include "workers/srt/srt_worker.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/core/worker_main.h"

namespace weir::srt {
namespace {

using ipc::Counter;

constexpr std::uint64_t kDrainTickMs = 50;
constexpr std::uint8_t kControlBit = 0x80;

constexpr UdpCounters kRelayCounters{Counter::kSrtPacketsFromClients,
                                     Counter::kSrtPacketsToClients,
                                     Counter::kSrtBytesFromClients,
                                     Counter::kSrtBytesToClients,
                                     Counter::kSrtDropsUp,
                                     Counter::kSrtDropsDown,
                                     Counter::kSrtParked,
                                     Counter::kSrtStrangers,
                                     Counter::kSrtSessions,
                                     Counter::kSrtClaims,
                                     Counter::kSrtClaimsRefused,
                                     Counter::kSrtTakeovers};

// Every worker has the same, over reloads and crashes: a conclusion may come to another one than
// its induction. Not the table's seed itself, of which cookies would be samples.
HashSeed cookie_seed(HashSeed table) {
  return {keyed_hash(table, "srt cookie, first half"), keyed_hash(table, "srt cookie, second")};
}

SessionOptions session_options(const Config& config) {
  SessionOptions out;
  out.stream_id.stream_id = config.srt.default_stream;
  out.stream_id.app = config.srt.default_app;
  out.stream_id.mode = config.srt.default_mode == "publish" ? Mode::kPublish : Mode::kRequest;
  out.origin_timeout_ms = config.srt.origin_timeout;
  out.handshake_timeout_ms = config.srt.handshake_timeout;
  return out;
}

Counter counter_of(std::string_view why) {
  if (why == "client_closed") return Counter::kSrtEndClientClosed;
  if (why == kCallsAnew) return Counter::kSrtEndClientRestarted;
  if (why == "origin_closed") return Counter::kSrtEndOriginClosed;
  if (why == "client_silent") return Counter::kSrtEndClientSilent;
  if (why == "origin_silent") return Counter::kSrtEndOriginSilent;
  if (why == "origin_gone") return Counter::kSrtEndOriginGone;
  if (why == "kicked") return Counter::kSrtEndKicked;
  return Counter::kSrtEndOther;
}

}  // namespace

SrtWorker::SrtWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
                     ipc::StateView&& state, ipc::FlowView&& table, ipc::Counters&& counters)
    : context_(std::move(context)),
      config_(config),
      base_(base),
      state_(std::move(state)),
      table_(std::move(table)),
      counters_(std::move(counters)),
      doorman_{cookie_seed(table_.header().seed)},
      options_(session_options(config)),
      access_(parse_access_list(config.srt.access).value_or(AccessList{})),
      access_log_(base),
      link_(base, std::move(context_.channel), context_.kind, counters_,
            {[this](ipc::MessageType type, ByteView bytes) { on_message(type, bytes); },
             [this](std::uint64_t deadline_ms) { drain(deadline_ms); }, [this] { quit(); },
             [this](const ipc::FlowAssign& assign, UniqueFd upstream) {
               relay_.on_assign(assign, std::move(upstream));
             }}),
      relay_(base, {config.srt.relay_delay, config.srt.idle_timeout, true, kRelayCounters}, *this,
             link_, table_, counters_, std::move(context_.udp_sockets)),
      resolver_(base, config, counters_),
      hooks_(base, config, resolver_, counters_, [this] { maybe_leave(); }),
      key_lengths_(base, state_),
      wake_(make_timer<&SrtWorker::on_wake>(base, this)),
      timer_(make_timer<&SrtWorker::on_timer>(base, this)),
      dials_(table_.header().seed, static_cast<std::size_t>(config.srt.max_half_open)),
      next_session_(context_.first_session) {}

void SrtWorker::run() {
  key_lengths_.start();
  ipc::Ready ready;
  link_.send(ready);
  event_base_dispatch(base_);
}

// ---- packets

// The receiver's socket id, which its sender had from the handshake.
std::uint32_t SrtWorker::client_id(ByteView packet) const {
  Header header;
  return parse_header(packet, header) ? header.destination : 0;
}

bool SrtWorker::special(std::uint8_t first_byte) const {
  return (first_byte & kControlBit) != 0;
}

bool SrtWorker::inspect(const ClientPacket& packet, std::uint32_t flow) {
  Header header;
  if (!parse_header(packet.bytes, header)) {
    counters_.add(Counter::kSrtMalformed);
    return false;
  }
  if (header.is(ControlType::kHandshake) && flow == kNoFlow) {
    on_handshake(packet);
    return false;
  }
  if (flow != kNoFlow) watch(flow, header, packet.bytes, true);
  return true;
}

// From an address and for a socket id that no session here has: another worker may have served it.
void SrtWorker::on_stranger(const ClientPacket& packet) {
  if (packet.key.id == 0) return;
  ipc::FlowRecord record;
  const auto hit = table_.find_srt(packet.key.address, packet.key.id, record);
  if (hit) relay_.claim(hit->flow, packet);
}

std::uint8_t SrtWorker::path_of(std::uint32_t index, ByteView packet) {
  Header header;
  if (!parse_header(packet, header)) return relay_.flow(index).media_path();
  Dial* dial = header.is(ControlType::kHandshake) ? dials_.of_flow(index) : nullptr;
  if (dial != nullptr && dial->stage == DialStage::kDialing) {
    const std::uint64_t now = monotonic_ms();
    Session& handshake = dial->handshake;
    const bool spoken = handshake.origin_encryption().has_value();
    handshake.on_origin_packet(packet, now);
    if (!spoken && handshake.origin_encryption()) {
      key_lengths_.learn(dial->endpoint, *handshake.origin_encryption());
    }
    if (handshake.state() == SessionState::kEstablished) on_established(*dial);
    flush(*dial);
    if (dial->stage == DialStage::kDialing && !handshake.wake_at()) {
      dials_.schedule(*dial, now);  // it has failed, or was rejected
      wake();
    }
    return kTaken;
  }
  // A repeated induction or conclusion was answered twice. Its cookie is none of the client's.
  if (dial != nullptr) return kTaken;
  watch(index, header, packet, false);
  return relay_.flow(index).media_path();
}

bool SrtWorker::to_tcp(std::uint32_t, ByteView) {
  return false;  // SRT has no TCP
}

SrtWorker::Watch& SrtWorker::watch_of(std::uint32_t index) {
  if (watches_.size() <= index) watches_.resize(index + 1);
  return watches_[index];
}

void SrtWorker::watch(std::uint32_t index, const Header& header, ByteView packet, bool of_client) {
  UdpFlow& flow = relay_.flow(index);
  flow.stun_ms = monotonic_ms();
  if (of_client && !flow.recorded && flow.current != kNoPath) {
    relay_.move_client(index, flow.current);  // the master has not taken the client's socket id yet
  }
  if (header.is(ControlType::kShutdown)) {
    Watch& seen = watch_of(index);
    if (!seen.closing.empty()) return;
    seen.closing = of_client ? "client_closed" : "origin_closed";
    closing_.push_back(flow.ref);
    wake();
  } else if (header.is(ControlType::kAck)) {
    if (const auto info = ack_info(packet)) {
      flow.rtt_us = info->rtt_us;
      flow.rtt_variance_us = info->rtt_variance_us;
      counters_.add(Counter::kSrtRttReports);
      counters_.add(Counter::kSrtRttMicroseconds, info->rtt_us);
    }
  } else if (header.is(ControlType::kNak)) {
    const std::uint32_t lost = lost_packets(packet);
    (of_client ? flow.total.lost_to_client : flow.total.lost_from_client) += lost;
    counters_.add(of_client ? Counter::kSrtLostToClients : Counter::kSrtLostFromClients, lost);
  }
}

// ---- sessions

std::string SrtWorker::origin_text(ipc::OriginRef ref, const Endpoint& endpoint) const {
  ipc::OriginRecord record;
  if (!state_.read_origin(ref, record)) return to_string(endpoint);
  return std::string(record.name) + "@" + to_string(endpoint);
}

void SrtWorker::on_begin(std::uint32_t index) {
  UdpFlow& flow = relay_.flow(index);
  watch_of(index) = Watch{};
  ipc::FlowRecord record;
  if (table_.read(flow.ref, record)) watch_of(index).caller_id = record.srt_caller_id;
  Dial* waiting = dials_.take_slot(flow.ref);
  if (waiting != nullptr && waiting->stage == DialStage::kClaiming) {
    start(*waiting, index);
    return;
  }
  LogLine(LogLevel::kInfo, "SRT session is served here")
      .session(flow.session)
      .field("stream", flow.key)
      .field("client", flow.client() != nullptr ? to_string(flow.client()->key.address) : "")
      .field("origin", origin_text(flow.origin, flow.origin_endpoint));
}

void SrtWorker::on_end(std::uint32_t index, const UdpEnd& end) {
  const UdpFlow& flow = relay_.flow(index);
  tell_ends(index, std::exchange(watch_of(index), Watch{}), end);
  Dial* dial = dials_.of_flow(index);
  if (dial != nullptr) {
    dials_.unbind_flow(*dial);
    dial->ref = {};
    if (end.reason != ipc::FlowEndReason::kRefused) dial->let_in = false;  // the master tells it
    // A try at an origin that came to nothing is no session that ended.
    if (dial->handshake.state() != SessionState::kEstablished) {
      const bool moved =
          end.reason == ipc::FlowEndReason::kMoved && dial->stage != DialStage::kDone;
      if (moved) finish(*dial);  // another worker speaks to the origin now, and to the caller
      dials_.schedule(*dial, monotonic_ms());
      wake();
      return;
    }
  }
  if (end.reason == ipc::FlowEndReason::kMoved) {
    counters_.add(Counter::kSrtMovedAway);
  } else {
    counters_.add(counter_of(end.why));
    log_end(flow, end);
  }
}

// Both ends hear of an end that neither has asked for: a client can call again at once, and an
// origin has the stream free for it.
void SrtWorker::tell_ends(std::uint32_t index, const Watch& seen, const UdpEnd& end) {
  const UdpClientPath* client = relay_.flow(index).client();
  const bool theirs = end.reason == ipc::FlowEndReason::kMoved ||
                      end.reason == ipc::FlowEndReason::kClosed ||
                      end.reason == ipc::FlowEndReason::kRefused;
  if (theirs || client == nullptr) return;
  std::array<std::uint8_t, kShutdownBytes> buffer;
  relay_.forward(index, write_shutdown(buffer, client->key.id));
  if (seen.caller_id == 0) return;
  relay_.reply({client->key, client->local, client->socket, {}},
               write_shutdown(buffer, seen.caller_id));
}

void SrtWorker::log_end(const UdpFlow& flow, const UdpEnd& end) {
  const UdpClientPath* client = flow.client();
  const std::string origin = origin_text(flow.origin, flow.origin_endpoint);
  const std::uint64_t now = monotonic_ms();
  const std::uint64_t age = now > flow.created_ms ? now - flow.created_ms : 0;
  LogLine(LogLevel::kInfo, "SRT session ended")
      .session(flow.session)
      .field("reason", end.why)
      .field("stream", flow.key)
      .field("client", client != nullptr ? to_string(client->key.address) : "")
      .field("origin", origin)
      .field("packets_from_client", flow.total.packets_from_client)
      .field("packets_to_client", flow.total.packets_to_client)
      .field("drops", flow.total.drops)
      .field("lost_from_client", flow.total.lost_from_client)
      .field("lost_to_client", flow.total.lost_to_client)
      .field("rtt_us", flow.rtt_us)
      .field("ms", age);
  AccessRecord record;
  record.session = flow.session;
  record.protocol = "srt";
  record.method = flow.role == ipc::Role::kPublisher ? "publish" : "play";
  if (client != nullptr) record.client = client->key.address;
  record.stream = flow.key;
  record.origin = origin;
  record.bytes_from_client = flow.total.bytes_from_client;
  record.bytes_to_client = flow.total.bytes_to_client;
  record.duration_ms = age;
  record.reason = end.why;
  access_log_.write(record, nullptr);
}

void SrtWorker::on_unreachable(std::uint32_t index) {
  Dial* dial = dials_.of_flow(index);
  if (dial == nullptr || dial->stage != DialStage::kDialing) return;
  dials_.schedule(*dial, monotonic_ms());
  wake();
}

void SrtWorker::end_closed() {
  for (const ipc::FlowRef ref : std::exchange(closing_, {})) {
    const std::uint32_t index = relay_.find(ref);
    if (index == kNoFlow) continue;
    const UdpClientPath* client = relay_.flow(index).client();
    if (watch_of(index).closing == kCallsAnew && client != nullptr) {
      std::array<std::uint8_t, kShutdownBytes> buffer;  // the caller has forgotten to send one
      relay_.forward(index, write_shutdown(buffer, client->key.id));
    }
    relay_.end(index, {ipc::FlowEndReason::kClosed, watch_of(index).closing});
  }
}

// ---- the master's messages, timer, the end

void SrtWorker::on_message(ipc::MessageType type, ByteView bytes) {
  if (type == ipc::MessageType::kServe) {
    relay_.serve();
  } else if (type == ipc::MessageType::kRouteAnswer) {
    ipc::RouteAnswer answer;
    if (ipc::decode(bytes, answer)) on_route_answer(answer);
  } else if (type == ipc::MessageType::kFlowCreated) {
    ipc::FlowCreated answer;
    if (ipc::decode(bytes, answer)) on_created(answer);
    maybe_leave();
  } else if (type == ipc::MessageType::kFlowRelease) {
    ipc::FlowRelease release;
    if (ipc::decode(bytes, release)) relay_.on_release(release);
    maybe_leave();
  }
}

// Handshakes under way are forgotten too: their callers repeat them to the next worker, which finds
// in the table how far they have come.
void SrtWorker::drain(std::uint64_t deadline_ms) {
  drain_deadline_ms_ = deadline_ms;
  counters_.sub(Counter::kSrtHandshaking, dials_.half_open());
  // Those that are in the table are resumed, or ended by the master.
  dials_.for_each([this](Dial& dial) {
    hooks_.cancel(dial.hook);
    if (dial.stage == DialStage::kRouting || dial.stage == DialStage::kCreating) tell_end(dial);
  });
  dials_.clear();
  closing_.clear();
  new_calls_.clear();
  key_lengths_.stop();
  relay_.drain();
  arm(timer_, kDrainTickMs);
  maybe_leave();
}

void SrtWorker::quit() {
  relay_.send_stats();
  event_base_loopbreak(base_);
}

// Sessions live on at the next worker; but what the master is making for us is ours to end.
void SrtWorker::maybe_leave() {
  const bool creating = !creates_.empty() && link_.connected();
  if (relay_.draining() && !creating && hooks_.idle()) event_base_loopbreak(base_);
}

// Not within the relay's work, where no session may end, but right after it.
void SrtWorker::wake() {
  event_active(wake_.get(), EV_TIMEOUT, 0);
}

void SrtWorker::on_wake() {
  if (relay_.draining()) return;
  end_closed();
  take_new_calls();
  const std::uint64_t now = monotonic_ms();
  while (Dial* dial = dials_.take_due(now)) {
    if (check(*dial, now)) {
      dials_.remove(*dial);
    } else if (dial->due_ms == 0) {
      dials_.schedule(*dial, next_check(*dial, now));
    }
  }
  arm_timer();
}

void SrtWorker::on_timer() {
  armed_for_ms_ = 0;
  if (!relay_.draining()) return on_wake();
  if (drain_deadline_ms_ != 0 && monotonic_ms() >= drain_deadline_ms_) quit();
  arm(timer_, kDrainTickMs);
  maybe_leave();
}

// One timer for all handshakes. What comes in between never puts it off.
void SrtWorker::arm_timer() {
  const auto due = dials_.next_due();
  if (!due || relay_.draining() || (armed_for_ms_ != 0 && armed_for_ms_ <= *due)) return;
  const std::uint64_t now = monotonic_ms();
  armed_for_ms_ = *due;
  arm(timer_, *due > now ? *due - now : 0);
}

}  // namespace weir::srt

namespace weir::ipc {

int run_srt_worker(WorkerContext&& context, const Config& config) {
  auto table = FlowView::map(context.flows.get());
  if (!table) {
    LogLine(LogLevel::kError, "cannot map the session table").field("error", table.error().text);
    return kExitDoNotRespawn;
  }
  return run_worker<srt::SrtWorker>(std::move(context), config, std::move(*table));
}

}  // namespace weir::ipc
