#include "workers/srt/srt_worker.h"

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

SessionOptions session_options(const Config& config, const route::Aliases& aliases) {
  SessionOptions out;
  out.aliases = &aliases;
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
      base_(base),
      state_(std::move(state)),
      table_(std::move(table)),
      counters_(std::move(counters)),
      access_log_(base),
      link_(base, std::move(context_.channel), context_.kind, counters_,
            {[this](ipc::MessageType type, ByteView bytes) { on_message(type, bytes); },
             [this](std::uint64_t deadline_ms) { drain(deadline_ms); }, [this] { quit(); },
             [this](const ipc::FlowAssign& assign, UniqueFd upstream) {
               relay_.on_assign(assign, std::move(upstream));
             }}),
      relay_(base, {config.srt.relay_delay, config.srt.idle_timeout, true, kRelayCounters}, *this,
             link_, table_, counters_, std::move(context_.udp_sockets)),
      aliases_(route::aliases_of(config.aliases)),
      turn_(make_timer<&SrtWorker::on_turn>(base, this)),
      drain_timer_(make_timer<&SrtWorker::on_drain_timer>(base, this)),
      process_{base,   config,      state_,
               table_, counters_,   link_,
               relay_, turn_.get(), session_options(config, aliases_)},
      resolver_(base, config, counters_),
      hooks_(base, config, resolver_, counters_, [this] { maybe_leave(); }),
      key_lengths_(base, state_),
      dialer_(process_, hooks_, key_lengths_, context_.first_session),
      watch_(process_),
      door_(process_, dialer_, watch_, key_lengths_) {}

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
    door_.on_handshake(packet);
    return false;
  }
  if (flow != kNoFlow) watch_.look(flow, header, packet.bytes, true);
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
  if (parse_header(packet, header)) {
    if (header.is(ControlType::kHandshake) && dialer_.on_origin_packet(index, packet)) {
      return kTaken;
    }
    watch_.look(index, header, packet, false);
  }
  return relay_.flow(index).media_path();
}

bool SrtWorker::to_tcp(std::uint32_t, ByteView) {
  return false;  // SRT has no TCP
}

// ---- sessions

void SrtWorker::on_begin(std::uint32_t index) {
  if (dialer_.on_begin(index)) return;
  door_.on_begin(index);
  const UdpFlow& flow = relay_.flow(index);
  LogLine(LogLevel::kInfo, "SRT session is served here")
      .session(flow.session)
      .field("stream", flow.key)
      .field("client", flow.client() != nullptr ? to_string(flow.client()->key.address) : "")
      .field("origin", [&] { return process_.origin_text(flow.origin, flow.origin_endpoint); });
}

void SrtWorker::on_end(std::uint32_t index, const UdpEnd& end) {
  watch_.tell_ends(index, end);
  if (dialer_.on_end(index, end)) return;
  if (end.reason == ipc::FlowEndReason::kMoved) {
    counters_.add(Counter::kSrtMovedAway);
  } else {
    counters_.add(counter_of(end.why));
    log_end(relay_.flow(index), end);
  }
}

void SrtWorker::on_unreachable(std::uint32_t index) {
  dialer_.on_unreachable(index);
}

void SrtWorker::on_refused(std::uint32_t request, ipc::FlowStatus status) {
  door_.on_refused(request);
  dialer_.on_refused(request, status);
}

void SrtWorker::log_end(const UdpFlow& flow, const UdpEnd& end) {
  if (!log_enabled(LogLevel::kInfo) && !access_log_enabled()) return;
  const UdpClientPath* client = flow.client();
  const std::string origin = process_.origin_text(flow.origin, flow.origin_endpoint);
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

// ---- the master's messages, timer, the end

void SrtWorker::on_message(ipc::MessageType type, ByteView bytes) {
  if (type == ipc::MessageType::kServe) {
    relay_.serve();
  } else if (type == ipc::MessageType::kRouteAnswer) {
    ipc::RouteAnswer answer;
    if (ipc::decode(bytes, answer)) dialer_.on_route_answer(answer);
  } else if (type == ipc::MessageType::kFlowCreated) {
    ipc::FlowCreated answer;
    if (ipc::decode(bytes, answer)) dialer_.on_created(answer);
    maybe_leave();
  } else if (type == ipc::MessageType::kFlowRelease) {
    ipc::FlowRelease release;
    if (ipc::decode(bytes, release)) relay_.on_release(release);
    maybe_leave();
  }
}

void SrtWorker::drain(std::uint64_t deadline_ms) {
  drain_deadline_ms_ = deadline_ms;
  dialer_.drain();
  watch_.clear();
  door_.clear();
  key_lengths_.stop();
  relay_.drain();
  arm(drain_timer_, kDrainTickMs);
  maybe_leave();
}

void SrtWorker::quit() {
  relay_.send_stats();
  event_base_loopbreak(base_);
}

// Sessions live on at the next worker; but what the master is making for us is ours to end.
void SrtWorker::maybe_leave() {
  const bool creating = dialer_.creating() && link_.connected();
  if (relay_.draining() && !creating && hooks_.idle()) event_base_loopbreak(base_);
}

void SrtWorker::on_turn() {
  if (relay_.draining()) return;
  watch_.end_closed();
  door_.take_new_calls();
  dialer_.check_due();
}

void SrtWorker::on_drain_timer() {
  if (drain_deadline_ms_ != 0 && monotonic_ms() >= drain_deadline_ms_) quit();
  arm(drain_timer_, kDrainTickMs);
  maybe_leave();
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
