// SrtDialer: the origin's handshake, from its socket to the established connection or the word no,
// and what time does to handshakes.
#include <algorithm>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/srt/srt_dialer.h"

namespace weir::srt {
namespace {

using ipc::Counter;
using route::SearchWord;

constexpr std::uint64_t kEstablishedMs = 10000;  // at most; until the client has spoken
constexpr std::uint64_t kSpokenMs = 250;         // how often it is looked whether it has
constexpr std::uint64_t kRejectedMs = 3000;      // as long as callers repeat themselves

ipc::DialOutcome outcome_of(Failure failure) {
  if (failure == Failure::kOriginSilent) return ipc::DialOutcome::kTimeout;
  if (failure == Failure::kOriginUnreachable) return ipc::DialOutcome::kRefused;
  return ipc::DialOutcome::kHandshake;
}

// Failures that a probe should look into: a client can cause none of them.
bool is_unheard(Failure failure) {
  return failure == Failure::kOriginSilent || failure == Failure::kOriginUnreachable;
}

SearchWord word_of(std::uint32_t reject_code) {
  const Denial denial = denial_of(reject_code);
  return denial == Denial::kNotFound ? SearchWord::kNo
         : denial == Denial::kUnsaid ? SearchWord::kElse
                                     : SearchWord::kUnreachable;
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

// ---- the relay's words

bool SrtDialer::on_begin(std::uint32_t flow) {
  Dial* waiting = dials_.take_slot(process_.relay.flow(flow).ref);
  if (waiting == nullptr || waiting->stage != DialStage::kClaiming) return false;
  start(*waiting, flow);
  return true;
}

bool SrtDialer::on_end(std::uint32_t flow, const UdpEnd& end) {
  Dial* dial = dials_.of_flow(flow);
  if (dial == nullptr) return false;
  dials_.unbind_flow(*dial);
  dial->ref = {};
  if (end.reason != ipc::FlowEndReason::kRefused) dial->let_in = false;  // the master tells it
  if (dial->handshake.state() == SessionState::kEstablished) return false;
  // A try at an origin that came to nothing is no session that ended.
  const bool moved = end.reason == ipc::FlowEndReason::kMoved && dial->stage != DialStage::kDone;
  if (moved) finish(*dial);  // another worker speaks to the origin now, and to the caller
  dials_.schedule(*dial, monotonic_ms());
  process_.wake();
  return true;
}

bool SrtDialer::on_origin_packet(std::uint32_t flow, ByteView packet) {
  Dial* dial = dials_.of_flow(flow);
  // A repeated induction or conclusion was answered twice. Its cookie is none of the client's.
  if (dial == nullptr || dial->stage != DialStage::kDialing) return dial != nullptr;
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
    process_.wake();
  }
  return true;
}

void SrtDialer::on_unreachable(std::uint32_t flow) {
  Dial* dial = dials_.of_flow(flow);
  if (dial == nullptr || dial->stage != DialStage::kDialing) return;
  dials_.schedule(*dial, monotonic_ms());
  process_.wake();
}

// ---- the origin's handshake

void SrtDialer::start(Dial& dial, std::uint32_t flow) {
  dials_.await_no_more(dial);
  dial.stage = DialStage::kDialing;
  dials_.bind_flow(dial, flow);
  dial.handshake.start_origin(dial.endpoint, monotonic_ms());
  flush(dial);
}

void SrtDialer::flush(Dial& dial) {
  Session& handshake = dial.handshake;
  if (!handshake.to_client().empty()) process_.relay.reply(dial.from, handshake.to_client());
  if (!handshake.to_origin().empty() && dial.flow != kNoFlow) {
    process_.relay.forward(dial.flow, handshake.to_origin());
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
void SrtDialer::on_established(Dial& dial) {
  const Session& handshake = dial.handshake;
  ClientPacket client = dial.from;
  client.key.id = handshake.listener_id();
  if (dial.hunt.begun) search_.found(searching_player(dial), dial.origin);
  const bool known =
      process_.relay.flow(dial.flow).client() != nullptr;  // to the worker before this one
  process_.relay.move_client(dial.flow, process_.relay.flows().add_path(dial.flow, client));
  finish(dial);
  if (known) return;
  process_.counters.add(Counter::kSrtEstablished);
  const bool publisher = role_of(dial) == ipc::Role::kPublisher;
  process_.counters.add(publisher ? Counter::kSrtPublishTotal : Counter::kSrtPlayTotal);
  LogLine(LogLevel::kInfo, "SRT session established")
      .session(dial.id)
      .field("stream", handshake.key().text)
      .field("role", to_string(role_of(dial)))
      .field("client", dial.key.address)
      .field("user", handshake.user())
      .field("origin", [&] { return process_.origin_text(dial.origin, dial.endpoint); })
      .field("ms", dial.done_ms - dial.started_ms);
}

// The handshake says no: its own word, the origin's, or ours.
void SrtDialer::on_rejected(Dial& dial) {
  const Session& handshake = dial.handshake;
  const std::uint64_t now = monotonic_ms();
  const bool by_origin = handshake.failure() == Failure::kOriginRejected;
  process_.counters.add(by_origin ? Counter::kSrtRejectedByOrigin : Counter::kSrtRefused);
  std::uint64_t suppressed = 0;
  if (process_.refusals.take(now, suppressed)) {
    LogLine(LogLevel::kWarn, by_origin ? "SRT caller rejected by the origin" : "SRT caller refused")
        .session(dial.id)
        .field("client", dial.key.address)
        .field("stream_id", handshake.stream_id())
        .field("origin",
               by_origin ? process_.origin_text(dial.origin, dial.endpoint) : std::string())
        .field("reason", to_string(handshake.failure()))
        .field("detail", handshake.failure_detail())
        .field("code", handshake.reject_code())
        .field("suppressed", suppressed);
  }
  leave_origin(dial);
  tell_end(dial);
  finish(dial);
}

void SrtDialer::finish(Dial& dial) {
  hooks_.cancel(std::exchange(dial.hook, 0));
  search_.leave(dial.hunt);
  if (dial.stage == DialStage::kDone) return;
  dials_.finish(dial, monotonic_ms());
  process_.counters.sub(Counter::kSrtHandshaking);
}

void SrtDialer::reject(Dial& dial, Reject code, std::string_view why) {
  dial.handshake.reject(code, monotonic_ms());
  LogLine(LogLevel::kDebug, "SRT caller cannot be served")
      .session(dial.id)
      .field("stream", dial.handshake.key().text)
      .field("reason", why);
  on_rejected(dial);
}

// Ends what the master has of the try at the present origin.
void SrtDialer::leave_origin(Dial& dial) {
  constexpr auto kReason = ipc::FlowEndReason::kRefused;
  const ipc::FlowRef ref = std::exchange(dial.ref, {});
  if (ref.slot == ipc::kNoSlot) return;
  dials_.unbind_slot(ref.slot);
  if (const std::uint32_t index = process_.relay.find(ref); index != kNoFlow) {
    process_.relay.end(index, {kReason, "no_connection"});
    return;
  }
  ipc::FlowEnd end;
  end.flow = ref;
  end.reason = kReason;
  process_.link.send(end);
}

// The origin has not said a word. `our_fault`: nothing that the master should look into.
void SrtDialer::origin_failed(Dial& dial, ipc::DialOutcome outcome, std::string_view error,
                              bool our_fault) {
  process_.counters.add(counter_of(outcome));
  if (!our_fault) {
    ipc::DialResult result;
    result.origin = dial.origin;
    result.endpoint = ipc::EndpointKind::kSrt;
    result.outcome = outcome;
    process_.link.send(result);
  }
  LogLine(LogLevel::kWarn, "origin failed")
      .session(dial.id)
      .field("stream", dial.handshake.key().text)
      .field("origin", process_.origin_text(dial.origin, dial.endpoint))
      .field("client", dial.key.address)
      .field("error", error)
      .field("attempt", dial.failed.size() + 1);
  leave_origin(dial);
  dial.failed.push_back(dial.origin);
  if (dial.hunt.begun) {
    if (!search_on(dial, SearchWord::kUnreachable)) {
      reject(dial, Reject::kGateway, "an origin that may have this stream cannot be asked");
    }
  } else if (dial.failed.size() >= static_cast<std::size_t>(process_.config.srt.dial_attempts)) {
    reject(dial, Reject::kGateway, "no origin could be reached");
  } else {
    process_.counters.add(Counter::kRouteMisses);
    ask_master(dial);
  }
}

// ---- time

void SrtDialer::check_due() {
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

// True: it can be forgotten.
bool SrtDialer::check(Dial& dial, std::uint64_t now) {
  Session& handshake = dial.handshake;
  if (dial.stage == DialStage::kDone) {
    if (handshake.state() == SessionState::kRejected) return now >= dial.done_ms + kRejectedMs;
    if (dial.flow == kNoFlow || now >= dial.done_ms + kEstablishedMs) return true;
    return process_.relay.flow(dial.flow).client_spoke;  // the caller has the answer
  }
  if (dial.stage == DialStage::kDialing && dial.flow != kNoFlow &&
      process_.relay.flow(dial.flow).client_spoke) {  // the caller has had the answer all the time
    finish(dial);
    return true;
  }
  if (dial.stage == DialStage::kDialing) check_origin(dial, now);
  if (dial.stage == DialStage::kBounded && now >= dial.again_ms) find_route(dial);
  if (dial.stage != DialStage::kDone &&
      now >= dial.started_ms + process_.config.srt.handshake_timeout) {
    reject(dial, Reject::kGateway, "the handshake took too long");
  }
  flush(dial);
  return false;
}

void SrtDialer::check_origin(Dial& dial, std::uint64_t now) {
  Session& handshake = dial.handshake;
  if (dial.flow == kNoFlow) {
    reject(dial, Reject::kForbidden, "the session was ended");
    return;
  }
  if (process_.relay.flow(dial.flow).refused_since_ms != 0) handshake.on_origin_unreachable(now);
  if (const auto wake_at = handshake.wake_at(); wake_at && now >= *wake_at) {
    handshake.on_time(now);
  }
  if (handshake.state() == SessionState::kOriginFailed) {
    const Failure failure = handshake.failure();
    if (failure == Failure::kOriginRejected) {
      if (search_on(dial, word_of(handshake.reject_code()))) return;
      handshake.pass_rejection(now);
      return on_rejected(dial);
    }
    origin_failed(dial, outcome_of(failure), to_string(failure), !is_unheard(failure));
  } else if (handshake.state() == SessionState::kRejected) {
    on_rejected(dial);
  }
}

std::uint64_t SrtDialer::next_check(const Dial& dial, std::uint64_t now) const {
  if (dial.stage == DialStage::kDone) {
    if (dial.handshake.state() == SessionState::kRejected) return dial.done_ms + kRejectedMs;
    return std::min(now + kSpokenMs, dial.done_ms + kEstablishedMs);
  }
  const std::uint64_t last = dial.started_ms + process_.config.srt.handshake_timeout;
  if (dial.stage == DialStage::kBounded) return std::min(dial.again_ms, last);
  const auto wake_at = dial.handshake.wake_at();
  return dial.stage == DialStage::kDialing && wake_at ? std::min(*wake_at, last) : last;
}

void SrtDialer::on_timer() {
  armed_for_ms_ = 0;
  process_.wake();
}

// One timer for all handshakes. What comes in between never puts it off.
void SrtDialer::arm_timer() {
  const auto due = dials_.next_due();
  if (!due || process_.relay.draining() || (armed_for_ms_ != 0 && armed_for_ms_ <= *due)) return;
  const std::uint64_t now = monotonic_ms();
  armed_for_ms_ = *due;
  arm(timer_, *due > now ? *due - now : 0);
}

}  // namespace weir::srt
