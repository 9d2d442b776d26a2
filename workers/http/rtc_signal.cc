#include "workers/http/rtc_signal.h"

#include <utility>

#include "common/base/clock.h"
#include "workers/core/origin_text.h"
#include "workers/http/rtc_route.h"

namespace weir::http {
namespace {

using ipc::Counter;
using route::SearchWord;

constexpr std::size_t kCallsMax = 4096;
constexpr std::uint64_t kLateAnswerMs = 30000;

ipc::Role role_of(const RtcPlan& plan) {
  return plan.publisher ? ipc::Role::kPublisher : ipc::Role::kPlayer;
}

std::string without_query(std::string_view url) {
  return std::string(url.substr(0, url.find('?')));
}

// A client that was let in has got no session.
void tell_stop(HookClient& hooks, const RtcRequest& request, SessionId session) {
  const RtcPlan& plan = request.plan;
  HookEvent event = udp_hook_event(plan.publisher ? HookAction::kUnpublish : HookAction::kStop,
                                   session, request.client, plan.key, http_hook_param(plan.param));
  event.tc_url = request.base + "/" + event.app;
  hooks.tell(event);
}

// What an origin's refusal of a player's offer says of its stream; nothing: it is about the offer,
// and no other origin is asked.
std::optional<SearchWord> search_word(int status) {
  switch (status) {
    case 404:
    case 410:
      return SearchWord::kNo;
    case 200:  // SRS's JSON with an error
    case 401:
    case 403:
    case 409:
      return SearchWord::kElse;
    case 408:
    case 429:
      return SearchWord::kUnreachable;
    default:
      break;
  }
  if (status >= 500) return SearchWord::kUnreachable;
  return std::nullopt;
}

}  // namespace

struct RtcSignal::Call {
  // A player that may search: the next origin can have its offer.
  bool searches() const { return !words.empty() && !silent; }
  PlayerSearch::Player player() const {
    return {request.session, request.client, request.plan.key, words};
  }

  CallId id = 0;
  std::uint64_t owner = 0;
  bool silent = false;  // nobody waits for the answer
  RtcRequest request;
  RtcOffer offer;
  PlayerSearch::Hunt hunt;
  std::string words;           // of the offer, for that
  std::uint64_t again_ms = 0;  // a bound stands against it until then
  SessionId session = 0;       // of what the offer makes
  bool let_in = false;         // the operator's server is told when it is over
  bool recorded = false;       // or the master tells of its end
  // One of them while that is asked.
  HookClient::Ticket hook = 0;
  RtcOrigin::Ticket ask = 0;
  RtcRecord::Ticket recording = 0;
  // The origin's answer, and what it has made.
  RtcOrigin::Outcome reply;
  SrsAnswer srs;
  RtcMade made;
  // Path and query of the session at the origin; of one that SRS's JSON has made, the address that
  // it publishes to.
  std::string location;
  SessionId group = 0;                   // its session in the table
  std::optional<RtcRecord::Found> flow;  // of a resource
};

RtcSignal::RtcSignal(const Process& process, const route::HintKey& hint_key, OnAnswer on_answer)
    : process_(process),
      hint_key_(hint_key),
      on_answer_(std::move(on_answer)),
      reader_(process.config, process.resolver, process.state),
      origins_(process.base, process.config, process.state, process.link, process.counters,
               process.tls),
      search_(process.config, process.state, process.link, process.counters,
              ipc::EndpointKind::kApi, ipc::WorkerKind::kHttp),
      bounded_(process.base,
               [this](std::uint32_t id) {
                 Call& call = *find(id);
                 call.again_ms = 0;
                 ask_origin(call);
               }),
      record_(process.base, process.link, process.flows, process.next_session),
      remover_(origins_, process.state, process.config.http.answer_timeout) {}

RtcSignal::~RtcSignal() = default;

// ---- from the request to the origin

RtcSignal::CallId RtcSignal::start(std::uint64_t owner, RtcRequest request) {
  if (calls_.size() >= kCallsMax) {
    on_answer_(owner, rtc_error(request.plan.api, 503, "too many requests at once"));
    return 0;
  }
  if (!reader_.can_answer(request.plan)) {
    LogLine(LogLevel::kWarn, "webrtc request refused, no name of rtc.candidate is known yet")
        .session(request.session)
        .field("client", request.client)
        .field("stream", request.plan.key);
    on_answer_(owner, rtc_error(request.plan.api, 503, "no public address is known yet"));
    return 0;
  }
  const CallId id = ++last_call_;
  Call& call = *calls_.emplace(id, std::make_unique<Call>()).first->second;
  call.id = id;
  call.owner = owner;
  call.request = std::move(request);
  if (const std::string wrong = read_offer(call.request, call.offer); !wrong.empty()) {
    fail(call, 400, wrong);
  } else {
    ask_hook(call);
  }
  return calls_.count(id) != 0 ? id : 0;
}

RtcSignal::Call* RtcSignal::find(CallId id) {
  const auto found = calls_.find(id);
  return found == calls_.end() ? nullptr : found->second.get();
}

// The operator's server decides about offers; what was let in may be changed and ended.
void RtcSignal::ask_hook(Call& call) {
  const RtcPlan& plan = call.request.plan;
  const HookAction action = plan.publisher ? HookAction::kPublish : HookAction::kPlay;
  if (plan.step == RtcStep::kOffer) call.session = process_.next_session++;
  if (plan.step != RtcStep::kOffer || !process_.hooks.wants(action)) {
    call.let_in = plan.step == RtcStep::kOffer;
    ask_origin(call);
    return;
  }
  HookEvent event = udp_hook_event(action, call.session, call.request.client, plan.key,
                                   http_hook_param(plan.param));
  event.tc_url = call.request.base + "/" + event.app;
  event.page_url = call.request.page;
  const HookClient::Asked asked =
      process_.hooks.ask(event, [this, id = call.id](const HookVerdict& verdict) {
        Call* waiting = find(id);
        if (waiting == nullptr) return;
        waiting->hook = 0;
        on_verdict(*waiting, verdict);
      });
  call.hook = asked.ticket;
  if (asked.verdict) on_verdict(call, *asked.verdict);
}

void RtcSignal::on_verdict(Call& call, const HookVerdict& verdict) {
  if (verdict.allowed) {
    call.let_in = true;
    ask_origin(call);
    return;
  }
  LogLine(LogLevel::kWarn, "webrtc request refused by the operator's server")
      .session(call.request.session)
      .field("client", call.request.client)
      .field("stream", call.request.plan.key)
      .field("reason", verdict.why);
  fail(call, 403, "not allowed");
}

// Last of all that is done with the call: it may be over.
void RtcSignal::ask_origin(Call& call) {
  const RtcPlan& plan = call.request.plan;
  RtcOrigin::Want want;
  if (plan.step == RtcStep::kPreflight) {
    want.known = find_adviser(process_.state, plan);
    if (!want.known) {
      fail(call, 503, "no origin can serve this stream");
      return;
    }
  } else if (const auto found =
                 find_session_origin(process_.state, process_.flows, hint_key_, plan)) {
    want.known = found->origin;
    want.endpoint = found->endpoint;
  }
  want.only_known = plan.step != RtcStep::kOffer;
  const bool plays = plan.step == RtcStep::kOffer && !plan.publisher;
  if (plays && search_.wants(plan.key) && !enter_search(call)) return;
  ask(call, std::move(want));
}

// `want`: whom.
void RtcSignal::ask(Call& call, RtcOrigin::Want&& want) {
  const RtcPlan& plan = call.request.plan;
  const Config& config = process_.config;
  want.time_limit_ms =
      plan.step == RtcStep::kPreflight ? config.http.dial_timeout : config.http.answer_timeout;
  want.session = call.request.session;
  want.client = call.request.client;
  want.role = role_of(plan);
  want.key = plan.key;
  want.method = call.request.method;
  want.target = plan.target;
  want.head = call.request.head;
  want.body = [&call](const Endpoint& local) {
    return body_for_origin(call.request, call.offer, local);
  };
  want.admits = [this, &call](ipc::OriginRef origin) { return search_.admits(call.hunt, origin); };
  // The answer to an offer is waited for longer than its client does, to take back what it made.
  if (plan.step == RtcStep::kOffer) want.late_limit_ms = kLateAnswerMs;
  RtcOrigin::Asked asked =
      origins_.ask(std::move(want), [this, id = call.id](RtcOrigin::Outcome&& outcome) {
        on_outcome(*find(id), std::move(outcome));
      });
  call.ask = asked.ticket;
  if (asked.outcome) on_outcome(call, std::move(*asked.outcome));
}

// ---- streams that nobody knows

// False: it is answered. Whom origins refuse for a token asks for something else than who has
// another one.
bool RtcSignal::enter_search(Call& call) {
  call.words = call.request.plan.target + '\n' + call.offer.stream_url + '\n';
  call.words += field_of(call.request.head, "Authorization");
  const PlayerSearch::Entry entry = search_.enter(call.player(), call.hunt);
  if (entry == PlayerSearch::Entry::kDenied) fail(call, 404, "no origin has this stream");
  if (entry == PlayerSearch::Entry::kBusy) on_bound(call);
  return entry == PlayerSearch::Entry::kOpen;
}

void RtcSignal::on_bound(Call& call) {
  if (search_.waits_for_bound(call.player(), call.hunt)) {
    bounded_.set(static_cast<std::uint32_t>(call.id), call.again_ms,
                 monotonic_ms() + PlayerSearch::kAgainMs);
  } else {
    fail(call, 503, "too many players of unknown streams, try again");
  }
}

// The origin has made nothing of a player's offer. True: another one has it now, or the call is
// over.
bool RtcSignal::search_on(Call& call, SearchWord word) {
  if (!call.searches()) return false;
  const auto origin = search_.next(call.player(), call.hunt, call.reply.origin, word);
  if (!origin) return false;
  RtcOrigin::Want want;
  want.known = origin;
  want.only_known = true;
  ask(call, std::move(want));
  return true;
}

// ---- what has come of it

void RtcSignal::on_outcome(Call& call, RtcOrigin::Outcome&& outcome) {
  if (outcome.last) call.ask = 0;
  call.reply = std::move(outcome);
  switch (call.reply.state) {
    case RtcOrigin::Outcome::State::kAnswered:
      on_answer(call);
      break;
    case RtcOrigin::Outcome::State::kNoOrigin:
      on_no_origin(call);
      break;
    case RtcOrigin::Outcome::State::kUnreadable:
      on_unreadable(call);
      break;
    case RtcOrigin::Outcome::State::kLate:
      on_late(call);
      break;
    case RtcOrigin::Outcome::State::kMisdirected:
      on_misdirected(call);
      break;
  }
}

void RtcSignal::on_no_origin(Call& call) {
  const RtcStep what = call.request.plan.step;
  const OriginDialer::Step& dial = call.reply.dial;
  if (dial.end == OriginDialer::End::kNotAdmitted) {
    on_bound(call);
  } else if (call.hunt.begun) {
    if (!search_on(call, SearchWord::kUnreachable)) {
      fail(call, 502, "an origin that may have this stream cannot be asked");
    }
  } else if (dial.end != OriginDialer::End::kNoOrigin) {
    if (what == RtcStep::kRemove) end_flow(call);
    fail(call, 503, describe(dial));
  } else if (what != RtcStep::kOffer) {
    // No origin is chosen for what must be there already.
    fail(call, 404, "there is no such session");
  } else {
    LogLine(LogLevel::kWarn, "webrtc request refused")
        .session(call.request.session)
        .field("client", call.request.client)
        .field("stream", call.request.plan.key)
        .field("reason", to_string(dial.status));
    fail(call, 503, "no origin can serve this stream");
  }
}

void RtcSignal::on_unreadable(Call& call) {
  if (call.request.plan.step == RtcStep::kRemove) end_flow(call);
  if (call.request.plan.step == RtcStep::kOffer && call.reply.response->has_head()) {
    call.location = reader_.read_location(call.request, call.reply);
    give_up(call, 502, "the origin's answer cannot be read");
  } else {
    fail(call, 502, "the origin's answer cannot be read");
  }
}

// The client waits no longer.
void RtcSignal::on_late(Call& call) {
  constexpr std::string_view kWhy = "the origin did not answer in time";
  if (call.request.plan.step == RtcStep::kRemove) end_flow(call);
  if (call.reply.last) {
    fail(call, 504, kWhy);
  } else {
    tell_client(call, 504, kWhy);
  }
}

void RtcSignal::on_misdirected(Call& call) {
  if (call.silent) {
    finish(call, {});
  } else {
    fail(call, 502, "the origin redirects to where it cannot be followed");
  }
}

void RtcSignal::on_answer(Call& call) {
  const ResponseHead& head = call.reply.response->head();
  switch (call.request.plan.step) {
    case RtcStep::kOffer:
      on_offer_answer(call);
      return;
    case RtcStep::kPatch:
      on_patch_answer(call);
      return;
    case RtcStep::kRemove:
      // What the origin does not know (any more) is over here, too.
      if (is_success(head.status) || head.status == 404 || head.status == 410) end_flow(call);
      pass_on(call);
      return;
    case RtcStep::kPreflight:
      finish(call,
             rtc_advice(call.request.plan.allow, head, process_.config.http.cors == "origin"));
      return;
    case RtcStep::kElsewhere:
    case RtcStep::kRefused:
    case RtcStep::kEmpty:
    case RtcStep::kNack:
      pass_on(call);
      return;
  }
}

void RtcSignal::on_offer_answer(Call& call) {
  const RtcPlan& plan = call.request.plan;
  const int status = call.reply.response->head().status;
  if (!RtcReader::is_session(call.reply.response->head(), plan.api)) {
    const auto word = search_word(status);
    if (!word || !search_on(call, *word)) pass_on(call);
    return;
  }
  call.location = reader_.read_location(call.request, call.reply);
  std::string_view sdp = call.reply.response->body();
  if (is_json(plan.api)) {
    auto answer = read_srs_answer(sdp);
    if (!answer || !answer->ok) {  // an error in SRS's own form
      if (!search_on(call, SearchWord::kElse)) pass_on(call);
      return;
    }
    call.srs = std::move(*answer);
    sdp = call.srs.sdp;
    // There is no address to end it at: a publisher is found by what it publishes to.
    if (plan.publisher) call.location = without_query(call.offer.stream_url);
  }
  if (call.silent) {  // came too late
    remove_at_origin(call);
    return;
  }
  auto made = reader_.read_session(plan, call.offer.sdp, sdp, call.reply);
  if (!made) {
    LogLine(LogLevel::kWarn, "origin's webrtc answer cannot be used")
        .session(call.request.session)
        .field("stream", plan.key)
        .field("origin", origin_text(call))
        .field("client", call.request.client)
        .field("reason", made.error().text);
    give_up(call, 502, "the origin's answer cannot be used");
    return;
  }
  call.made = std::move(*made);
  record(call);
}

void RtcSignal::on_patch_answer(Call& call) {
  const int status = call.reply.response->head().status;
  if (call.request.plan.sdp && is_success(status)) {
    on_sdp_accepted(call);
  } else if (status == 200 && !call.reply.response->body().empty()) {
    on_restart_answer(call);
  } else {
    pass_on(call);
  }
}

// The client has answered a counter-offer: now its half of the names is known.
void RtcSignal::on_sdp_accepted(Call& call) {
  call.made.sdp = call.reply.response->body();
  const std::string ufrag = offered_ufrag(call.offer.sdp);
  if (!find_flow(call) || ufrag.empty()) {
    answer_recorded(call, {});
    return;
  }
  const std::string_view names = call.flow->username;
  RtcFlow flow;
  flow.username = std::string(names.substr(0, names.find(':'))) + ":" + ufrag;
  flow.password = call.flow->password;
  change(call, flow);
}

void RtcSignal::on_restart_answer(Call& call) {
  auto made = reader_.read_new_credentials(call.request.body, call.reply);
  if (!made) {
    LogLine(LogLevel::kWarn, "origin's answer to an ICE restart cannot be used")
        .session(call.request.session)
        .field("origin", origin_text(call))
        .field("client", call.request.client)
        .field("reason", made.error().text);
    fail(call, 502, "the origin's answer cannot be used");
    return;
  }
  call.made = std::move(*made);
  // Without credentials nothing must be known here. Without a flow it was signalled by another
  // Weir, or is over: its media is none of ours.
  if (call.made.flows.empty() || !find_flow(call)) {
    answer_recorded(call, {});
    return;
  }
  change(call, call.made.flows.front());
}

// ---- the master's record

// The flow that the resource's address names. A Location need not name stream and role; the logs
// do.
bool RtcSignal::find_flow(Call& call) const {
  RtcPlan& plan = call.request.plan;
  call.flow = record_.find(plan.flow);
  if (!call.flow) return false;
  call.group = call.flow->session;
  plan.key = call.flow->key;
  plan.publisher = call.flow->role == ipc::Role::kPublisher;
  plan.api = plan.publisher ? RtcApi::kWhip : RtcApi::kWhep;
  return true;
}

void RtcSignal::end_flow(Call& call) {
  if (find_flow(call)) record_.end(call.flow->flow);
}

void RtcSignal::record(Call& call) {
  const RtcPlan& plan = call.request.plan;
  RtcRecord::Session session;
  session.session = call.group = call.session;
  session.role = role_of(plan);
  session.key = plan.key;
  session.location = call.location;
  if (process_.hooks.wants(plan.publisher ? HookAction::kUnpublish : HookAction::kStop)) {
    session.param = http_hook_param(plan.param);
  }
  session.origin = call.reply.origin;
  session.client = call.request.client;
  session.flows = call.made.flows;
  call.recorded = true;
  recording(call, record_.create(std::move(session), when_recorded(call.id)));
}

void RtcSignal::change(Call& call, const RtcFlow& credentials) {
  recording(call, record_.change(call.flow->flow, credentials, when_recorded(call.id)));
}

void RtcSignal::recording(Call& call, const RtcRecord::Asked& asked) {
  call.recording = asked.ticket;
  if (asked.outcome) on_recorded(call, *asked.outcome);
}

RtcRecord::OnOutcome RtcSignal::when_recorded(CallId id) {
  return [this, id](const RtcRecord::Outcome& outcome) { on_recorded(*find(id), outcome); };
}

void RtcSignal::on_recorded(Call& call, const RtcRecord::Outcome& outcome) {
  call.recording = 0;
  call.recorded = outcome.known;
  if (outcome.ok) {
    answer_recorded(call, outcome.name);
  } else {
    refuse_record(call, outcome);
  }
}

// The answer would lead the client to a session that no worker knows.
void RtcSignal::refuse_record(Call& call, const RtcRecord::Outcome& outcome) {
  LogLine(LogLevel::kWarn, "webrtc session cannot be recorded")
      .session(call.request.session)
      .field("stream", call.request.plan.key)
      .field("origin", origin_text(call))
      .field("client", call.request.client)
      .field("reason", outcome.why);
  if (call.request.plan.step != RtcStep::kOffer) {
    fail(call, 503, "the session cannot be changed now");
  } else {
    give_up(call, outcome.status, "the session cannot be recorded");
  }
}

// ---- answers

// To an offer or a PATCH, with our addresses; the master knows of it what it must.
void RtcSignal::answer_recorded(Call& call, std::string_view flow_name) {
  const RtcPlan& plan = call.request.plan;
  const bool offer = plan.step == RtcStep::kOffer;
  RtcAnswer answer = copy_answer(call.reply.response->head());
  answer.body =
      is_json(plan.api) && call.srs.json ? with_sdp(call.srs, call.made.sdp) : call.made.sdp;
  if (offer) {
    process_.counters.add(Counter::kRtcSignalSessions);
    if (call.hunt.begun) search_.found(call.player(), call.reply.origin);
    const std::string_view path =
        std::string_view(call.location).substr(0, call.location.find('?'));
    if (is_resource_path(path)) {
      answer.fields.emplace_back(
          "Location",
          public_location(call.request.base, call.location, hint_key_,
                          route::origin_fingerprint(hint_key_, call.reply.endpoint), flow_name));
    }
  }
  LogLine(LogLevel::kInfo, offer ? "webrtc session signalled" : "webrtc session restarted")
      .session(call.group != 0 ? call.group : call.request.session)
      .field("api", to_string(plan.api))
      .field("role", plan.publisher ? "publisher" : "player")
      .field("stream", plan.key)
      .field("origin", origin_text(call))
      .field("media", call.made.flows.empty() ? "" : to_string(call.made.flows.front().media))
      .field("client", call.request.client)
      .field("ufrag", call.made.flows.empty() ? std::string()
                                              : call.made.flows.front().username.substr(0, 8));
  finish(call, std::move(answer));
}

void RtcSignal::pass_on(Call& call) {
  RtcAnswer answer = copy_answer(call.reply.response->head());
  answer.body = std::move(call.reply.response->body());
  finish(call, std::move(answer));
}

// The origin has made a session that nobody can use.
void RtcSignal::give_up(Call& call, int status, std::string_view why) {
  if (!call.silent) tell_client(call, status, why);
  remove_at_origin(call);
}

// Nobody waits for this call any more. The client's own Authorization is what the origin asks for.
void RtcSignal::remove_at_origin(Call& call) {
  const RtcRequest& request = call.request;
  RtcLeftover what;
  what.session = request.session;
  what.client = request.client;
  what.role = role_of(request.plan);
  what.key = request.plan.key;
  what.origin = call.reply.origin;
  what.endpoint = call.reply.endpoint;
  what.location = call.location;
  what.created_ms = monotonic_ms();
  what.host = field_of(request.head, "Host");
  what.authorization = field_of(request.head, "Authorization");
  const auto done = [this, id = call.id] { finish(*find(id), {}); };
  if (!remover_.remove(std::move(what), done)) finish(call, {});
}

void RtcSignal::fail(Call& call, int status, std::string_view why) {
  if (call.request.plan.step == RtcStep::kPreflight) {  // what Weir knows itself is an answer, too
    finish(call, rtc_preflight(call.request.plan.allow));
    return;
  }
  if (!call.silent) process_.counters.add(Counter::kRtcSignalFailed);
  finish(call, rtc_error(call.request.plan.api, status, why));
}

// The error now; what is left to do goes on without the client.
void RtcSignal::tell_client(Call& call, int status, std::string_view why) {
  process_.counters.add(Counter::kRtcSignalFailed);
  RtcAnswer answer = rtc_error(call.request.plan.api, status, why);
  answer.key = call.request.plan.key;
  answer.origin = call.reply.origin;
  call.silent = true;
  on_answer_(call.owner, answer);
}

void RtcSignal::cancel(CallId id) {
  Call* call = find(id);
  if (call == nullptr || call->silent) return;  // what is left of it ends by itself
  call->silent = true;
  if (call->request.plan.step == RtcStep::kOffer) {
    if (call->recording != 0) {
      record_.cancel(std::exchange(call->recording, 0));
      remove_at_origin(*call);
      return;
    }
    if (origins_.abandon(call->ask)) return;
  }
  finish(*call, {});
}

void RtcSignal::finish(Call& call, RtcAnswer answer) {
  answer.key = call.request.plan.key;
  answer.origin = call.reply.origin;
  search_.leave(call.hunt);
  bounded_.set(static_cast<std::uint32_t>(call.id), call.again_ms, 0);
  process_.hooks.cancel(call.hook);
  origins_.cancel(call.ask);
  record_.cancel(call.recording);
  if (call.let_in && !call.recorded) tell_stop(process_.hooks, call.request, call.session);
  const std::uint64_t owner = call.owner;
  const bool silent = call.silent;
  calls_.erase(call.id);
  if (!silent) on_answer_(owner, answer);
}

std::string RtcSignal::origin_text(const Call& call) const {
  return weir::origin_text(process_.state, call.reply.origin, call.reply.endpoint);
}

}  // namespace weir::http
