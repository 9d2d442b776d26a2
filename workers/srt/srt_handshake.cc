// SrtWorker: from the induction to the established connection, or to the word no. Nothing waits
// here for an origin: each handshake has a state, a deadline and a place in a table.
#include <algorithm>
#include <array>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/proto/srt/cookie.h"
#include "workers/srt/srt_worker.h"

namespace weir::srt {
namespace {

using ipc::Counter;

constexpr std::uint64_t kEstablishedMs = 10000;  // at most; until the client has spoken
constexpr std::uint64_t kSpokenMs = 250;         // how often it is looked whether it has
constexpr std::uint64_t kRejectedMs = 3000;      // as long as callers repeat themselves
constexpr std::size_t kNewCalls = 64;            // that wait for the end of this turn
constexpr auto kSrt = static_cast<std::size_t>(ipc::EndpointKind::kSrt);

ipc::Role role_of(const Dial& dial) {
  return dial.handshake.mode() == Mode::kPublish ? ipc::Role::kPublisher : ipc::Role::kPlayer;
}

ipc::DialOutcome outcome_of(Failure failure) {
  if (failure == Failure::kOriginSilent) return ipc::DialOutcome::kTimeout;
  if (failure == Failure::kOriginUnreachable) return ipc::DialOutcome::kRefused;
  return ipc::DialOutcome::kHandshake;
}

// Failures that a probe should look into: a client can cause none of them.
bool is_unheard(Failure failure) {
  return failure == Failure::kOriginSilent || failure == Failure::kOriginUnreachable;
}

// REQUIRES: a conclusion that admit() has let pass.
std::uint32_t initial_sequence_of(ByteView conclusion) {
  Handshake parsed;
  return parse_handshake(conclusion, parsed) == HandshakeError::kNone ? parsed.initial_sequence : 0;
}

Counter counter_of(ipc::DialOutcome outcome) {
  switch (outcome) {
    case ipc::DialOutcome::kRefused:
      return Counter::kSrtDialRefused;
    case ipc::DialOutcome::kTimeout:
      return Counter::kSrtDialTimeout;
    case ipc::DialOutcome::kHandshake:
      return Counter::kSrtDialHandshake;
    case ipc::DialOutcome::kOk:
    case ipc::DialOutcome::kTls:
    case ipc::DialOutcome::kOther:
      break;
  }
  return Counter::kSrtDialOther;
}

}  // namespace

// ---- the client's handshake

void SrtWorker::on_handshake(const ClientPacket& packet) {
  std::array<std::uint8_t, kHandshakeBytes> buffer;
  const std::uint64_t now = monotonic_ms();
  doorman_.encryption = key_lengths_.advertised();
  const Admission entry = admit(doorman_, packet.bytes, packet.key.address, now, buffer);
  switch (entry.entry) {
    case Entry::kIgnored:
      counters_.add(entry.failure == Failure::kBadCookie ? Counter::kSrtBadCookie
                                                         : Counter::kSrtMalformed);
      return;
    case Entry::kConclusion:
      on_conclusion(packet, entry.caller_id, now);
      return;
    case Entry::kAnswered:
      break;
  }
  relay_.reply(packet, entry.answer);
  if (entry.failure == Failure::kNone) {
    counters_.add(Counter::kSrtInductions);
    return;
  }
  counters_.add(Counter::kSrtRefused);
  std::uint64_t suppressed = 0;
  if (!refusals_.take(now, suppressed)) return;
  LogLine(LogLevel::kWarn, "SRT caller refused")
      .field("client", to_string(packet.key.address))
      .field("why", to_string(entry.failure))
      .field("held_back", suppressed);
}

void SrtWorker::on_conclusion(const ClientPacket& packet, std::uint32_t caller_id,
                              std::uint64_t now) {
  const std::uint32_t sequence = initial_sequence_of(packet.bytes);
  if (Dial* known = dials_.find({packet.key.address, caller_id})) {
    if (known->handshake.initial_sequence() != sequence) return defer(packet, caller_id);
    const bool done = known->stage == DialStage::kDone && known->flow != kNoFlow;
    if (done && relay_.flow(known->flow).client_spoke) return;  // it has had the answer
    known->from.local = packet.local;
    known->from.socket = packet.socket;
    known->handshake.on_client_conclusion(packet.bytes, now);
    flush(*known);
    return;
  }
  ipc::FlowRecord record;
  const auto hit = table_.find_srt_caller(packet.key.address, caller_id, record);
  if (hit && record.srt_listener_id != 0) {
    const std::uint32_t here = relay_.find(hit->flow);
    if (is_new_call(record, here, sequence, now)) return defer(packet, caller_id);
    // Established: its answer has been sent, but perhaps by a worker that died before it arrived.
    // Then the caller has never spoken, and the origin says the same again.
    if (here == kNoFlow || relay_.flow(here).client_spoke) return;
  }
  begin(packet, caller_id, now, hit, record);
}

// Whether the conclusion with this first sequence number is none of the session in the table.
bool SrtWorker::is_new_call(const ipc::FlowRecord& record, std::uint32_t flow,
                            std::uint32_t sequence, std::uint64_t now) {
  const auto known = flow != kNoFlow ? watch_of(flow).initial_sequence : std::nullopt;
  if (known) return *known != sequence;
  // Another worker made the handshake. The cookie is younger than the session, or it might be it.
  return now > record.created_ms + 2 * kCookieSlotMs;
}

// A client that was restarted has the port and the socket id of before; libsrt takes the new call
// at once. Here the old one ends first, which it can't within the relay's work.
void SrtWorker::defer(const ClientPacket& packet, std::uint32_t caller_id) {
  if (new_calls_.size() >= kNewCalls) return;  // it repeats itself
  new_calls_.push_back({packet, caller_id, {packet.bytes.begin(), packet.bytes.end()}});
  new_calls_.back().packet.bytes = {};
  wake();
}

void SrtWorker::take_new_calls() {
  for (NewCall& call : std::exchange(new_calls_, {})) {
    const std::uint64_t now = monotonic_ms();
    call.packet.bytes = call.bytes;
    const ClientKey key{call.packet.key.address, call.caller_id};
    Dial* known = dials_.find(key);
    // One that came twice in this turn.
    if (known && known->handshake.initial_sequence() == initial_sequence_of(call.bytes)) continue;
    // One that nobody could serve ends nothing.
    if (Session(options_, call.bytes, key.address, now).state() == SessionState::kRejected) {
      turn_away(call.packet, Reject::kRogue, now);
      continue;
    }
    if (known != nullptr) {
      if (known->stage != DialStage::kDone) {
        finish(*known);
        tell_end(*known);
        leave_origin(*known);
      }
      dials_.remove(*known);
    }
    ipc::FlowRecord record;
    const auto hit = table_.find_srt_caller(key.address, call.caller_id, record);
    if (const std::uint32_t here = hit ? relay_.find(hit->flow) : kNoFlow; here != kNoFlow) {
      watch_of(here).closing = kCallsAnew;
      closing_.push_back(hit->flow);
      end_closed();
    } else if (hit && record.srt_listener_id != 0) {
      ipc::FlowEnd end;
      end.flow = hit->flow;
      end.reason = ipc::FlowEndReason::kClosed;
      link_.send(end);
    }
    begin(call.packet, call.caller_id, now, std::nullopt, record);
  }
}

void SrtWorker::begin(const ClientPacket& packet, std::uint32_t caller_id, std::uint64_t now,
                      const std::optional<ipc::FlowView::Hit>& hit, const ipc::FlowRecord& record) {
  if (!access_.allows(packet.key.address)) return deny(packet, now);
  const DialTable::Room room = dials_.room_for(packet.key.address);
  if (room != DialTable::Room::kYes) return overload(packet, room, now);
  Dial& dial = dials_.add(options_, packet, caller_id, now);
  counters_.add(Counter::kSrtHandshaking);
  dial.id = next_session_++;
  if (dial.handshake.state() == SessionState::kRejected) {
    on_rejected(dial);
  } else if (hit) {
    resume(dial, hit->flow, record);
  } else {
    ask_hook(dial);
  }
  flush(dial);
}

// Says no without keeping anything.
void SrtWorker::turn_away(const ClientPacket& packet, Reject code, std::uint64_t now) {
  Session handshake(options_, packet.bytes, packet.key.address, now);
  if (handshake.state() != SessionState::kRejected) handshake.reject(code, now);
  relay_.reply(packet, handshake.to_client());
}

void SrtWorker::deny(const ClientPacket& packet, std::uint64_t now) {
  turn_away(packet, Reject::kForbidden, now);
  counters_.add(Counter::kAccessHandshake);
  std::uint64_t suppressed = 0;
  if (!refusals_.take(now, suppressed)) return;
  LogLine(LogLevel::kWarn, "SRT caller refused, the access option denies it")
      .field("client", to_string(packet.key.address))
      .field("held_back", suppressed);
}

void SrtWorker::overload(const ClientPacket& packet, DialTable::Room room, std::uint64_t now) {
  turn_away(packet, Reject::kOverload, now);
  counters_.add(Counter::kSrtOverload);
  std::uint64_t suppressed = 0;
  if (!refusals_.take(now, suppressed)) return;
  const bool share = room == DialTable::Room::kShareTaken;
  LogLine(LogLevel::kWarn, share ? "SRT caller refused, too many handshakes of its address"
                                 : "SRT caller refused, too many handshakes are under way")
      .field("client", to_string(packet.key.address))
      .field("max_half_open", config_.srt.max_half_open)
      .field("held_back", suppressed);
}

// Another worker has begun this handshake and gone. Its socket has come to us, or will: an origin
// that knows this caller by its address already goes on with it.
void SrtWorker::resume(Dial& dial, ipc::FlowRef ref, const ipc::FlowRecord& record) {
  dial.id = record.session;
  dial.ref = ref;
  dial.origin = record.origin;
  dial.endpoint = record.origin_endpoint;
  dial.let_in = true;
  const std::uint32_t index = relay_.find(ref);
  if (index != kNoFlow) {
    start(dial, index);
  } else {
    claim(dial);
  }
}

// ---- route

void SrtWorker::find_route(Dial& dial) {
  const std::string& key = dial.handshake.key().text;
  if (config_.srt.refuse_unknown_streams && dial.handshake.mode() == Mode::kRequest) {
    ipc::StreamRecord stream;
    if (!state_.find_stream(key, stream) || stream.publishers == 0) {
      reject(dial, Reject::kNotFound, "nobody publishes this stream");
      return;
    }
  }
  const auto route = state_.find_route(key, role_of(dial), ipc::EndpointKind::kSrt);
  if (route) {
    counters_.add(Counter::kRouteHits);
    create(dial, *route);
  } else {
    counters_.add(Counter::kRouteMisses);
    ask_master(dial);
  }
}

void SrtWorker::ask_master(Dial& dial) {
  ipc::RouteRequest request;
  request.header.request = link_.next_request();
  request.session = dial.id;
  request.protocol = ipc::EndpointKind::kSrt;
  request.role = role_of(dial);
  request.failed_count = static_cast<std::uint16_t>(std::min(dial.failed.size(), ipc::kMaxFailed));
  std::copy_n(dial.failed.begin(), request.failed_count, request.failed);
  request.key.assign(dial.handshake.key().text);
  dials_.await(dial, DialStage::kRouting, request.header.request);
  if (!link_.send(request)) reject(dial, Reject::kDown, "the routing service is not available");
}

void SrtWorker::on_route_answer(const ipc::RouteAnswer& answer) {
  Dial* dial = dials_.answered(answer.header.request, DialStage::kRouting);
  if (dial == nullptr) return;  // given up meanwhile
  if (answer.status == ipc::RouteStatus::kOk) {
    create(*dial, answer.origin);
  } else {
    counters_.add(Counter::kRouteRefused);
    reject(*dial, dial->failed.empty() ? Reject::kDown : Reject::kGateway,
           to_string(answer.status));
  }
  flush(*dial);
}

// ---- the session in the master's table, and its socket

void SrtWorker::create(Dial& dial, ipc::OriginRef origin) {
  counters_.add(Counter::kSrtDials);
  if (!dial.failed.empty()) counters_.add(Counter::kSrtDialRetries);
  dial.origin = origin;
  ipc::OriginRecord record;
  if (!state_.read_origin(origin, record)) {
    origin_failed(dial, ipc::DialOutcome::kOther, "the origin has left");
    return;
  }
  const std::size_t count =
      std::min<std::size_t>(record.endpoint_count[kSrt], limits::kEndpointsPerKind);
  if (count == 0) {
    origin_failed(dial, ipc::DialOutcome::kOther, "the origin has no srt endpoint", true);
    return;
  }
  dial.endpoint = record.endpoints[kSrt][dial.id % count];
  ipc::FlowCreate message;
  message.header.request = link_.next_request();
  message.session = dial.id;
  message.kind = ipc::FlowKind::kSrt;
  message.role = role_of(dial);
  message.origin = origin;
  message.origin_endpoint = dial.endpoint;
  message.signaller = dial.key.address;
  message.srt_caller_id = dial.key.id;
  // Where it does not fit, the hook at the end goes without it.
  message.texts.set(ipc::FlowField::kParam, end_event(dial).param);
  dials_.await(dial, DialStage::kCreating, message.header.request);
  if (!message.texts.set(ipc::FlowField::kKey, dial.handshake.key().text) || !link_.send(message)) {
    reject(dial, Reject::kDown, "the master is not available");
    return;
  }
  creates_.insert(message.header.request);
}

void SrtWorker::on_created(const ipc::FlowCreated& answer) {
  creates_.erase(answer.header.request);
  Dial* dial = dials_.answered(answer.header.request, DialStage::kCreating);
  if (dial == nullptr) {
    if (answer.status != ipc::FlowStatus::kOk) return;
    ipc::FlowEnd end;  // nobody waits for it any more
    end.flow = answer.flow;
    end.reason = ipc::FlowEndReason::kRefused;
    link_.send(end);
    return;
  }
  if (answer.status == ipc::FlowStatus::kOk) {
    dial->ref = answer.flow;
    claim(*dial);
  } else if (answer.status == ipc::FlowStatus::kNoOrigin) {
    origin_failed(*dial, ipc::DialOutcome::kOther, "the origin has left", true);
  } else {
    const bool stopping = answer.status == ipc::FlowStatus::kStopping;
    reject(*dial, stopping ? Reject::kDown : Reject::kOverload, to_string(answer.status));
  }
  flush(*dial);
}

void SrtWorker::claim(Dial& dial) {
  const std::uint32_t request = relay_.claim(dial.ref, dial.from);
  if (request == 0) {
    reject(dial, Reject::kOverload, "too many sessions are being set up");
    return;
  }
  dials_.await(dial, DialStage::kClaiming, request);
  dials_.bind_slot(dial);
}

void SrtWorker::on_refused(std::uint32_t request, ipc::FlowStatus status) {
  Dial* dial = dials_.answered(request, DialStage::kClaiming);
  if (dial == nullptr) return;
  dials_.unbind_slot(dial->ref.slot);
  if (status == ipc::FlowStatus::kUnreachable) {
    origin_failed(*dial, ipc::DialOutcome::kOther, to_string(status));
  } else {
    reject(*dial, Reject::kOverload, to_string(status));
  }
  flush(*dial);
}

// ---- the origin's handshake

void SrtWorker::start(Dial& dial, std::uint32_t flow) {
  dials_.await_no_more(dial);
  dial.stage = DialStage::kDialing;
  dials_.bind_flow(dial, flow);
  watch_of(flow).initial_sequence = dial.handshake.initial_sequence();
  dial.handshake.start_origin(dial.endpoint, monotonic_ms());
  flush(dial);
}

void SrtWorker::flush(Dial& dial) {
  Session& handshake = dial.handshake;
  if (!handshake.to_client().empty()) relay_.reply(dial.from, handshake.to_client());
  if (!handshake.to_origin().empty() && dial.flow != kNoFlow) {
    relay_.forward(dial.flow, handshake.to_origin());
  }
  handshake.clear_output();
  // A caller that repeats itself does not put off the end.
  if (dial.stage != DialStage::kDone || dial.due_ms == 0) {
    dials_.schedule(dial, next_check(dial, monotonic_ms()));
  }
  arm_timer();
}

// The master hears of the client's address and the origin's socket id before the client hears of
// the origin: whatever happens to us then, another worker can find them together.
void SrtWorker::on_established(Dial& dial) {
  const Session& handshake = dial.handshake;
  ClientPacket client = dial.from;
  client.key.id = handshake.listener_id();
  const bool known = relay_.flow(dial.flow).client() != nullptr;  // to the worker before this one
  relay_.move_client(dial.flow, relay_.add_path(dial.flow, client));
  finish(dial);
  if (known) return;
  counters_.add(Counter::kSrtEstablished);
  const bool publisher = role_of(dial) == ipc::Role::kPublisher;
  counters_.add(publisher ? Counter::kSrtPublishTotal : Counter::kSrtPlayTotal);
  LogLine(LogLevel::kInfo, "SRT session established")
      .session(dial.id)
      .field("stream", handshake.key().text)
      .field("role", to_string(role_of(dial)))
      .field("client", to_string(dial.key.address))
      .field("user", handshake.user())
      .field("origin", origin_text(dial.origin, dial.endpoint))
      .field("ms", dial.done_ms - dial.started_ms);
}

// The handshake says no: its own word, the origin's, or ours.
void SrtWorker::on_rejected(Dial& dial) {
  const Session& handshake = dial.handshake;
  const std::uint64_t now = monotonic_ms();
  const bool by_origin = handshake.failure() == Failure::kOriginRejected;
  counters_.add(by_origin ? Counter::kSrtRejectedByOrigin : Counter::kSrtRefused);
  std::uint64_t suppressed = 0;
  if (refusals_.take(now, suppressed)) {
    LogLine(LogLevel::kWarn, by_origin ? "SRT caller rejected by the origin" : "SRT caller refused")
        .session(dial.id)
        .field("client", to_string(dial.key.address))
        .field("stream_id", handshake.stream_id())
        .field("origin", by_origin ? origin_text(dial.origin, dial.endpoint) : std::string())
        .field("why", to_string(handshake.failure()))
        .field("detail", handshake.failure_detail())
        .field("code", handshake.reject_code())
        .field("held_back", suppressed);
  }
  leave_origin(dial);
  tell_end(dial);
  finish(dial);
}

void SrtWorker::finish(Dial& dial) {
  hooks_.cancel(std::exchange(dial.hook, 0));
  if (dial.stage == DialStage::kDone) return;
  dials_.finish(dial, monotonic_ms());
  counters_.sub(Counter::kSrtHandshaking);
}

void SrtWorker::reject(Dial& dial, Reject code, std::string_view why) {
  dial.handshake.reject(code, monotonic_ms());
  LogLine(LogLevel::kDebug, "SRT caller cannot be served")
      .session(dial.id)
      .field("stream", dial.handshake.key().text)
      .field("why", why);
  on_rejected(dial);
}

// Ends what the master has of the try at the present origin.
void SrtWorker::leave_origin(Dial& dial) {
  constexpr auto kReason = ipc::FlowEndReason::kRefused;
  const ipc::FlowRef ref = std::exchange(dial.ref, {});
  if (ref.slot == ipc::kNoSlot) return;
  dials_.unbind_slot(ref.slot);
  if (const std::uint32_t index = relay_.find(ref); index != kNoFlow) {
    relay_.end(index, {kReason, "no_connection"});
    return;
  }
  ipc::FlowEnd end;
  end.flow = ref;
  end.reason = kReason;
  link_.send(end);
}

// The origin has not said a word. `our_fault`: nothing that the master should look into.
void SrtWorker::origin_failed(Dial& dial, ipc::DialOutcome outcome, std::string_view error,
                              bool our_fault) {
  counters_.add(counter_of(outcome));
  if (!our_fault) {
    ipc::DialResult result;
    result.origin = dial.origin;
    result.endpoint = ipc::EndpointKind::kSrt;
    result.outcome = outcome;
    link_.send(result);
  }
  LogLine(LogLevel::kWarn, "origin failed")
      .session(dial.id)
      .field("stream", dial.handshake.key().text)
      .field("origin", origin_text(dial.origin, dial.endpoint))
      .field("client", to_string(dial.key.address))
      .field("error", error)
      .field("attempt", dial.failed.size() + 1);
  leave_origin(dial);
  dial.failed.push_back(dial.origin);
  if (dial.failed.size() >= static_cast<std::size_t>(config_.srt.dial_attempts)) {
    reject(dial, Reject::kGateway, "no origin could be reached");
  } else {
    counters_.add(Counter::kRouteMisses);
    ask_master(dial);
  }
}

// ---- time

// True: it can be forgotten.
bool SrtWorker::check(Dial& dial, std::uint64_t now) {
  Session& handshake = dial.handshake;
  if (dial.stage == DialStage::kDone) {
    if (handshake.state() == SessionState::kRejected) return now >= dial.done_ms + kRejectedMs;
    if (dial.flow == kNoFlow || now >= dial.done_ms + kEstablishedMs) return true;
    return relay_.flow(dial.flow).client_spoke;  // the caller has the answer
  }
  if (dial.stage == DialStage::kDialing && dial.flow != kNoFlow &&
      relay_.flow(dial.flow).client_spoke) {  // the caller has had the answer all the time
    finish(dial);
    return true;
  }
  if (dial.stage == DialStage::kDialing) check_origin(dial, now);
  if (dial.stage != DialStage::kDone && now >= dial.started_ms + config_.srt.handshake_timeout) {
    reject(dial, Reject::kGateway, "the handshake took too long");
  }
  flush(dial);
  return false;
}

void SrtWorker::check_origin(Dial& dial, std::uint64_t now) {
  Session& handshake = dial.handshake;
  if (dial.flow == kNoFlow) {
    reject(dial, Reject::kForbidden, "the session was ended");
    return;
  }
  if (relay_.flow(dial.flow).refused_since_ms != 0) handshake.on_origin_unreachable(now);
  if (const auto wake_at = handshake.wake_at(); wake_at && now >= *wake_at) {
    handshake.on_time(now);
  }
  if (handshake.state() == SessionState::kOriginFailed) {
    const Failure failure = handshake.failure();
    origin_failed(dial, outcome_of(failure), to_string(failure), !is_unheard(failure));
  } else if (handshake.state() == SessionState::kRejected) {
    on_rejected(dial);
  }
}

std::uint64_t SrtWorker::next_check(const Dial& dial, std::uint64_t now) const {
  if (dial.stage == DialStage::kDone) {
    if (dial.handshake.state() == SessionState::kRejected) return dial.done_ms + kRejectedMs;
    return std::min(now + kSpokenMs, dial.done_ms + kEstablishedMs);
  }
  const std::uint64_t last = dial.started_ms + config_.srt.handshake_timeout;
  const auto wake_at = dial.handshake.wake_at();
  return dial.stage == DialStage::kDialing && wake_at ? std::min(*wake_at, last) : last;
}

}  // namespace weir::srt
