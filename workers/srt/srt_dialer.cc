// SrtDialer: what the operator's own server says of a caller, its route, its session in the
// master's table, and the socket to the origin. The end of an established session is told to hooks
// by the control worker (docs/UDP.md).
#include "workers/srt/srt_dialer.h"

#include <algorithm>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"

namespace weir::srt {
namespace {

using ipc::Counter;
using route::SearchWord;

constexpr auto kSrt = static_cast<std::size_t>(ipc::EndpointKind::kSrt);

bool publishes(const Dial& dial) {
  return dial.handshake.mode() == Mode::kPublish;
}

std::string hook_param(const Session& handshake) {
  std::string out;
  if (!handshake.user().empty()) out.append("?u=").append(handshake.user());
  if (handshake.parameters().empty()) return out;
  return out.append(out.empty() ? "?" : "&").append(handshake.parameters());
}

HookEvent hook_event(const Dial& dial, HookAction action) {
  HookEvent event = udp_hook_event(action, dial.id, dial.key.address, dial.handshake.key().text,
                                   hook_param(dial.handshake));
  event.tc_url = srt_tc_url(event);
  return event;
}

// Empty where nobody asks for it.
HookEvent end_event(const HookClient& hooks, const Dial& dial) {
  const HookAction action = publishes(dial) ? HookAction::kUnpublish : HookAction::kStop;
  if (hooks.wants(action)) return hook_event(dial, action);
  HookEvent nobody_asks;
  nobody_asks.action = action;
  return nobody_asks;
}

}  // namespace

SrtDialer::SrtDialer(SrtProcess& process, HookClient& hooks, KeyLengths& key_lengths,
                     SessionId first_session)
    : process_(process),
      hooks_(hooks),
      key_lengths_(key_lengths),
      timer_(make_timer<&SrtDialer::on_timer>(process.base, this)),
      dials_(process.table.header().seed,
             static_cast<std::size_t>(process.config.srt.max_half_open)),
      search_(process.config, process.state, process.link, process.counters,
              ipc::EndpointKind::kSrt, ipc::WorkerKind::kSrt),
      next_session_(first_session) {}

// ---- callers

void SrtDialer::begin(const ClientPacket& packet, std::uint32_t caller_id, std::uint64_t now,
                      const ipc::FlowRef* found, const ipc::FlowRecord& record) {
  Dial& dial = dials_.add(process_.options, packet, caller_id, now);
  process_.counters.add(Counter::kSrtHandshaking);
  dial.id = next_session_++;
  if (dial.handshake.state() == SessionState::kRejected) {
    on_rejected(dial);
  } else if (found != nullptr) {
    resume(dial, *found, record);
  } else {
    ask_hook(dial);
  }
  flush(dial);
}

void SrtDialer::repeat(Dial& dial, const ClientPacket& packet, std::uint64_t now) {
  const bool done = dial.stage == DialStage::kDone && dial.flow != kNoFlow;
  if (done && process_.relay.flow(dial.flow).client_spoke) return;  // it has had the answer
  dial.from.local = packet.local;
  dial.from.socket = packet.socket;
  dial.handshake.on_client_conclusion(packet.bytes, now);
  flush(dial);
}

void SrtDialer::drop(Dial& dial) {
  if (dial.stage != DialStage::kDone) {
    finish(dial);
    tell_end(dial);
    leave_origin(dial);
  }
  dials_.remove(dial);
}

// Another worker has begun this handshake and gone. Its socket has come to us, or will: an origin
// that knows this caller by its address already goes on with it.
void SrtDialer::resume(Dial& dial, ipc::FlowRef ref, const ipc::FlowRecord& record) {
  dial.id = record.session;
  dial.ref = ref;
  dial.origin = record.origin;
  dial.endpoint = record.origin_endpoint;
  dial.let_in = true;
  const std::uint32_t index = process_.relay.find(ref);
  if (index != kNoFlow) {
    start(dial, index);
  } else {
    claim(dial);
  }
}

void SrtDialer::drain() {
  process_.counters.sub(Counter::kSrtHandshaking, dials_.half_open());
  // Those that are in the table are resumed, or ended by the master.
  dials_.for_each([this](Dial& dial) {
    hooks_.cancel(dial.hook);
    search_.leave(dial.hunt);
    if (dial.stage == DialStage::kRouting || dial.stage == DialStage::kCreating) tell_end(dial);
  });
  dials_.clear();
  event_del(timer_.get());
}

// ---- the operator's own server

void SrtDialer::ask_hook(Dial& dial) {
  const HookAction action = publishes(dial) ? HookAction::kPublish : HookAction::kPlay;
  if (!hooks_.wants(action)) return on_verdict(dial, {true, {}});
  const auto asked = hooks_.ask(hook_event(dial, action),
                                [this, key = dial.key, id = dial.id](const HookVerdict& verdict) {
                                  Dial* waiting = dials_.find(key);
                                  if (waiting == nullptr || waiting->id != id) return;
                                  waiting->hook = 0;
                                  if (waiting->stage != DialStage::kAsking)
                                    return;  // it took too long
                                  on_verdict(*waiting, verdict);
                                  flush(*waiting);
                                });
  dial.hook = asked.ticket;
  if (asked.verdict) on_verdict(dial, *asked.verdict);
}

void SrtDialer::on_verdict(Dial& dial, const HookVerdict& verdict) {
  if (!verdict.allowed) {
    reject(dial, Reject::kForbidden, "refused by the operator's server: " + verdict.why);
    return;
  }
  dial.let_in = true;
  find_route(dial);
}

// Of a caller that was let in and has no session in the master's table that could end.
void SrtDialer::tell_end(Dial& dial) {
  if (std::exchange(dial.let_in, false)) hooks_.tell(end_event(hooks_, dial));
}

// ---- route

void SrtDialer::find_route(Dial& dial) {
  const std::string& key = dial.handshake.key().text;
  if (process_.config.srt.refuse_unknown_streams && dial.handshake.mode() == Mode::kRequest &&
      !process_.state.is_held(key)) {
    reject(dial, Reject::kNotFound, "nobody publishes this stream");
    return;
  }
  if (!publishes(dial) && search_.wants(key) && !enter_search(dial)) return;
  const auto route = process_.state.find_route(key, role_of(dial), ipc::EndpointKind::kSrt);
  if (route) {
    process_.counters.add(Counter::kRouteHits);
    create(dial, *route);
  } else {
    process_.counters.add(Counter::kRouteMisses);
    ask_master(dial);
  }
}

// ---- streams that nobody knows

// False: it waits, or is refused.
bool SrtDialer::enter_search(Dial& dial) {
  dial.handshake.search();
  switch (search_.enter(searching_player(dial), dial.hunt)) {
    case PlayerSearch::Entry::kOpen:
      return true;
    case PlayerSearch::Entry::kDenied:
      reject(dial, Reject::kNotFound, "no origin has this stream");
      break;
    case PlayerSearch::Entry::kBusy:
      on_bound(dial);
      break;
  }
  return false;
}

void SrtDialer::on_bound(Dial& dial) {
  if (!search_.waits_for_bound(searching_player(dial), dial.hunt)) {
    reject(dial, Reject::kOverload, "too many players of unknown streams");
    return;
  }
  dials_.await_no_more(dial);
  dial.stage = DialStage::kBounded;
  dial.again_ms = monotonic_ms() + PlayerSearch::kAgainMs;
}

// Its origin has not taken the player. True: another one is asked.
bool SrtDialer::search_on(Dial& dial, SearchWord word) {
  const auto origin = search_.next(searching_player(dial), dial.hunt, dial.origin, word);
  if (!origin) return false;
  leave_origin(dial);
  create(dial, *origin);
  return true;
}

// ---- the master's route

void SrtDialer::ask_master(Dial& dial) {
  ipc::RouteRequest request;
  request.header.request = process_.link.next_request();
  request.session = dial.id;
  request.protocol = ipc::EndpointKind::kSrt;
  request.role = role_of(dial);
  request.failed_count = static_cast<std::uint16_t>(std::min(dial.failed.size(), ipc::kMaxFailed));
  std::copy_n(dial.failed.begin(), request.failed_count, request.failed);
  request.key.assign(dial.handshake.key().text);
  dials_.await(dial, DialStage::kRouting, request.header.request);
  if (!process_.link.send(request))
    reject(dial, Reject::kDown, "the routing service is not available");
}

void SrtDialer::on_route_answer(const ipc::RouteAnswer& answer) {
  Dial* dial = dials_.answered(answer.header.request, DialStage::kRouting);
  if (dial == nullptr) return;  // given up meanwhile
  if (answer.status == ipc::RouteStatus::kOk) {
    create(*dial, answer.origin);
  } else {
    process_.counters.add(Counter::kRouteRefused);
    reject(*dial, dial->failed.empty() ? Reject::kDown : Reject::kGateway,
           to_string(answer.status));
  }
  flush(*dial);
}

// ---- the session in the master's table, and its socket

void SrtDialer::create(Dial& dial, ipc::OriginRef origin) {
  if (!search_.admits(dial.hunt, origin)) return on_bound(dial);
  process_.counters.add(Counter::kSrtDials);
  if (!dial.failed.empty()) process_.counters.add(Counter::kSrtDialRetries);
  dial.origin = origin;
  ipc::OriginRecord record;
  if (!process_.state.read_origin(origin, record)) {
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
  message.header.request = process_.link.next_request();
  message.session = dial.id;
  message.kind = ipc::FlowKind::kSrt;
  message.role = role_of(dial);
  message.origin = origin;
  message.origin_endpoint = dial.endpoint;
  message.signaller = dial.key.address;
  message.srt_caller_id = dial.key.id;
  message.srt_first_sequence = dial.handshake.initial_sequence();
  // Where it does not fit, the hook at the end goes without it.
  message.texts.set(ipc::FlowField::kParam, end_event(hooks_, dial).param);
  dials_.await(dial, DialStage::kCreating, message.header.request);
  if (!message.texts.set(ipc::FlowField::kKey, dial.handshake.key().text) ||
      !process_.link.send(message)) {
    reject(dial, Reject::kDown, "the master is not available");
    return;
  }
  creates_.insert(message.header.request);
}

void SrtDialer::on_created(const ipc::FlowCreated& answer) {
  creates_.erase(answer.header.request);
  Dial* dial = dials_.answered(answer.header.request, DialStage::kCreating);
  if (dial == nullptr) {
    if (answer.status != ipc::FlowStatus::kOk) return;
    ipc::FlowEnd end;  // nobody waits for it any more
    end.flow = answer.flow;
    end.reason = ipc::FlowEndReason::kRefused;
    process_.link.send(end);
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

void SrtDialer::claim(Dial& dial) {
  const std::uint32_t request = process_.relay.claim(dial.ref, dial.from);
  if (request == 0) {
    reject(dial, Reject::kOverload, "too many sessions are being set up");
    return;
  }
  dials_.await(dial, DialStage::kClaiming, request);
  dials_.bind_slot(dial);
}

void SrtDialer::on_refused(std::uint32_t request, ipc::FlowStatus status) {
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

}  // namespace weir::srt
