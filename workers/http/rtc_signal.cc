// RtcSignal, from the request to the origin's answer.
#include "workers/http/rtc_signal.h"

#include <algorithm>
#include <utility>

#include "common/net/tcp.h"
#include "common/proto/http/target.h"
#include "common/proto/sdp/sdp.h"
#include "workers/http/http_process.h"
#include "workers/http/rtc_call.h"
#include "workers/http/rtc_record.h"
#include "workers/http/rtc_removal.h"

namespace weir::http {
namespace {

constexpr std::size_t kCallsMax = 4096;
constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::uint64_t kLateAnswerMs = 30000;
constexpr std::uint16_t kDiscardPort = 9;  // RFC 863
constexpr std::size_t kApi = static_cast<std::size_t>(ipc::EndpointKind::kApi);

OriginDialer::Settings dial_settings(const Config& config) {
  OriginDialer::Settings out;
  out.kind = ipc::EndpointKind::kApi;
  out.attempts = config.http.dial_attempts;
  out.timeout_ms = config.http.dial_timeout;
  out.tcp = {0, config.http.stall_timeout};
  out.counters = kDialCounters;
  return out;
}

}  // namespace

RtcSignal::RtcSignal(const Process& process, const route::HintKey& hint_key, OnAnswer on_answer)
    : process_(process),
      hint_key_(hint_key),
      on_answer_(std::move(on_answer)),
      addresses_(process.config, process.resolver),
      record_(std::make_unique<RtcRecord>(*this)),
      remover_(std::make_unique<RtcRemover>(*this)),
      poller_(process.base, 0,
              [this](std::uint64_t token, std::uint32_t events) { on_ready(token, events); }),
      dialer_(process.base, dial_settings(process.config), process.state, process.link,
              process.counters, process.tls,
              {[this](std::uint64_t call, int fd) { return poller_.add(fd, kSideEvents, call); },
               [this](std::uint64_t call, const OriginDialer::Step& step) {
                 on_dial(*find(call), step);
               }}),
      read_buffer_(kReadBytes) {}

RtcSignal::~RtcSignal() = default;

void RtcSignal::on_flow_created(const ipc::FlowCreated& message) {
  record_->on_flow_created(message);
}

void RtcSignal::on_flow_abandoned(const ipc::FlowAbandoned& message) {
  remover_->on_flow_abandoned(message);
}

RtcSignal::CallId RtcSignal::start(std::uint64_t owner, RtcRequest request) {
  if (calls_.size() >= kCallsMax) {
    on_answer_(owner, rtc_error(request.plan.api, 503, "too many requests at once"));
    return 0;
  }
  if (!addresses_.known() && needs_addresses(request.plan)) {
    LogLine(LogLevel::kWarn, "webrtc request refused, no name of rtc.candidate is known yet")
        .session(request.session)
        .field("client", to_string(request.client))
        .field("stream", request.plan.key);
    on_answer_(owner, rtc_error(request.plan.api, 503, "no public address is known yet"));
    return 0;
  }
  Call& call = make_call(owner, std::move(request));
  const CallId id = call.id;
  begin(call);
  return calls_.count(id) != 0 ? id : 0;
}

RtcSignal::Call& RtcSignal::make_call(std::uint64_t owner, RtcRequest request) {
  const CallId id = ++last_call_;
  Call& call = *calls_.emplace(id, std::make_unique<Call>()).first->second;
  call.signal = this;
  call.id = id;
  call.owner = owner;
  call.request = std::move(request);
  call.timer.reset(event_new(
      process_.base, -1, 0,
      [](evutil_socket_t, short, void* which) {
        const auto* late = static_cast<Call*>(which);
        late->signal->on_timeout(late->id);
      },
      &call));
  return call;
}

// The answer will name where the client is to send.
bool RtcSignal::needs_addresses(const RtcPlan& plan) const {
  if (plan.step != RtcStep::kOffer && plan.step != RtcStep::kPatch) return false;
  return !process_.config.rtc.eip ||
         wanted_address(plan.eip, process_.config.rtc.listen.port).empty();
}

void RtcSignal::begin(Call& call) {
  if (const std::string wrong = read_body(call); !wrong.empty()) {
    fail(call, 400, wrong);
    return;
  }
  ask_hook(call);
}

// Empty, or what is wrong.
std::string RtcSignal::read_body(Call& call) {
  const RtcPlan& plan = call.request.plan;
  const bool offer = plan.step == RtcStep::kOffer;
  if (plan.step == RtcStep::kPatch && !plan.sdp) {
    return is_fragment(call.request.body) ? "" : "the body is no SDP fragment";
  }
  if (!offer && plan.step != RtcStep::kPatch) return {};
  call.offer = call.request.body;
  if (offer && is_json(plan.api)) {
    if (std::string wrong = read_srs_body(call); !wrong.empty()) return wrong;
  }
  return std::string(check_offer(call.offer));
}

// The operator's server decides about offers; what was let in may be changed and ended.
void RtcSignal::ask_hook(Call& call) {
  const RtcPlan& plan = call.request.plan;
  const HookAction action = plan.publisher ? HookAction::kPublish : HookAction::kPlay;
  if (plan.step == RtcStep::kOffer) call.session = process_.next_session++;
  if (plan.step != RtcStep::kOffer || !process_.hooks.wants(action)) {
    call.let_in = plan.step == RtcStep::kOffer;
    find_origin(call);
    return;
  }
  HookEvent event = udp_hook_event(action, call.session, call.request.client, plan.key,
                                   http_hook_param(plan.param));
  event.tc_url = call.request.base + "/" + event.app;
  event.page_url = call.request.page;
  call.stage = Stage::kAsking;
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
    find_origin(call);
    return;
  }
  LogLine(LogLevel::kWarn, "webrtc request refused by the operator's server")
      .session(call.request.session)
      .field("client", to_string(call.request.client))
      .field("stream", call.request.plan.key)
      .field("reason", verdict.why);
  fail(call, 403, "not allowed");
}

// A client that was let in has got no session.
void RtcSignal::tell_stop(const Call& call) {
  const RtcPlan& plan = call.request.plan;
  HookEvent event =
      udp_hook_event(plan.publisher ? HookAction::kUnpublish : HookAction::kStop, call.session,
                     call.request.client, plan.key, http_hook_param(plan.param));
  event.tc_url = call.request.base + "/" + event.app;
  process_.hooks.tell(event);
}

std::string RtcSignal::read_srs_body(Call& call) {
  auto offer = read_srs_offer(call.request.body);
  if (!offer) return offer.error().text;
  call.offer = offer->sdp;
  call.srs_offer = std::move(*offer);
  RtcPlan& plan = call.request.plan;
  call.stream_url = plan_stream_url(plan, call.srs_offer.stream_url);
  return plan.step == RtcStep::kRefused ? std::string(plan.error) : std::string();
}

// What the origin gets. It is not told where the client may be reached: its checks and media would
// else go round Weir. One that begins nothing without a candidate gets an address of this host at
// the port that nobody serves; it learns the true one from the client's checks.
std::string RtcSignal::body_for_origin(const Call& call) const {
  const RtcPlan& plan = call.request.plan;
  std::string sdp;
  if (plan.step == RtcStep::kPatch) {
    if (plan.sdp) {
      sdp::conceal_description(call.offer, {}, sdp);
    } else {
      sdp::conceal_fragment(call.request.body, sdp);
    }
    return sdp;
  }
  if (plan.step != RtcStep::kOffer) return call.request.body;
  Endpoint stand_in = unmapped(net::local_address(call.side.fd.get()));
  stand_in.port = kDiscardPort;
  sdp::conceal_description(call.offer, stand_in, sdp);
  if (!is_json(plan.api)) return sdp;
  return print_srs_offer(call.srs_offer, call.stream_url, sdp, ip_to_string(call.request.client));
}

void RtcSignal::find_origin(Call& call) {
  const RtcPlan& plan = call.request.plan;
  if (plan.step == RtcStep::kPreflight) {
    find_adviser(call);
    return;
  }
  if ((plan.origin && find_by_hint(call)) ||
      (plan.step == RtcStep::kNack && find_by_username(call))) {
    dial(call, call.origin);
    return;
  }
  dial(call, std::nullopt);
}

// OPTIONS: the stream's origin says what ICE servers there are, or any other that is up. No origin
// is chosen for the stream.
void RtcSignal::find_adviser(Call& call) {
  const RtcPlan& plan = call.request.plan;
  const ipc::Role role = plan.publisher ? ipc::Role::kPublisher : ipc::Role::kPlayer;
  const auto route = plan.key.empty()
                         ? std::nullopt
                         : process_.state.find_route(plan.key, role, ipc::EndpointKind::kApi);
  if (route) {
    dial(call, *route);
    return;
  }
  std::uint32_t left = process_.state.header().origins_used.load(std::memory_order_relaxed);
  for (std::uint32_t slot = 0; slot < process_.state.header().origin_capacity && left > 0; ++slot) {
    ipc::OriginRecord record;
    if (!process_.state.read_origin(slot, record)) continue;
    --left;
    if (!record.takes(ipc::EndpointKind::kApi)) continue;
    dial(call, ipc::OriginRef{slot, record.generation});
    return;
  }
  fail(call, 503, "no origin can serve this stream");
}

// The origin whose API endpoint has the fingerprint of the resource's hint, whatever its state: the
// session is there or nowhere.
bool RtcSignal::find_by_hint(Call& call) const {
  std::uint32_t left = process_.state.header().origins_used.load(std::memory_order_relaxed);
  for (std::uint32_t slot = 0; slot < process_.state.header().origin_capacity && left > 0; ++slot) {
    ipc::OriginRecord record;
    if (!process_.state.read_origin(slot, record)) continue;
    --left;
    for (std::size_t i = 0; i < record.endpoint_count[kApi]; ++i) {
      if (route::origin_fingerprint(hint_key_, record.endpoints[kApi][i]) !=
          *call.request.plan.origin) {
        continue;
      }
      call.origin = {slot, record.generation};
      call.endpoint = record.endpoints[kApi][i];
      return true;
    }
  }
  return false;
}

// SRS's nack names a session by its USERNAME.
bool RtcSignal::find_by_username(Call& call) const {
  const std::string& target = call.request.plan.target;
  const auto value = find_param(
      std::string_view(target).substr(std::min(target.find('?') + 1, target.size())), "username");
  std::string username;
  ipc::FlowRecord record;
  if (!value || !process_.flows || !percent_decode(*value, username) ||
      !process_.flows->find_username(username, record)) {
    return false;
  }
  call.origin = record.origin;
  return true;
}

RtcSignal::Call* RtcSignal::take_master_request(std::uint32_t request) {
  const auto found = master_requests_.find(request);
  if (found == master_requests_.end()) return nullptr;
  Call* call = find(found->second);
  master_requests_.erase(found);
  if (call != nullptr) call->master_request = 0;
  return call;
}

bool RtcSignal::on_route_answer(const ipc::RouteAnswer& message) {
  return dialer_.on_route_answer(message);
}

// Nothing: where the stream is, or, for an offer, where the master wants it. Last of all that is
// done with the call: it may be over.
void RtcSignal::dial(Call& call, std::optional<ipc::OriginRef> known) {
  const RtcPlan& plan = call.request.plan;
  OriginDialer::Want want;
  want.owner = call.id;
  want.session = call.request.session;
  want.role = plan.publisher ? ipc::Role::kPublisher : ipc::Role::kPlayer;
  want.key = plan.key;
  want.client = call.request.client;
  want.known = known;
  if (known == call.origin) want.endpoint = call.endpoint;
  // Whom the origin has named is asked, and nobody else.
  want.only_known = plan.step != RtcStep::kOffer || call.redirects > 0;
  call.stage = Stage::kDialing;
  const OriginDialer::Started started = dialer_.start(want);
  call.dial = started.ticket;
  on_dial(call, started.step);
}

void RtcSignal::on_dial(Call& call, const OriginDialer::Step& step) {
  call.origin = step.origin;
  call.endpoint = step.endpoint;
  switch (step.state) {
    case OriginDialer::Step::State::kWaiting:
      break;
    case OriginDialer::Step::State::kOpen:
      // From here on the origin may have made a session: no other one is asked.
      call.side = dialer_.take(call.dial);
      dialer_.close(std::exchange(call.dial, 0));
      send_request(call);
      serve(call);
      break;
    case OriginDialer::Step::State::kFailed:
      call.dial = 0;
      on_no_origin(call, step);
      break;
  }
}

void RtcSignal::on_no_origin(Call& call, const OriginDialer::Step& step) {
  const RtcStep what = call.request.plan.step;
  if (step.end != OriginDialer::End::kNoOrigin) {
    if (what == RtcStep::kRemove) record_->end_flow(call);
    fail(call, 503, describe(step));
  } else if (what != RtcStep::kOffer) {
    // No origin is chosen for what must be there already.
    fail(call, 404, "there is no such session");
  } else {
    LogLine(LogLevel::kWarn, "webrtc request refused")
        .session(call.request.session)
        .field("client", to_string(call.request.client))
        .field("stream", call.request.plan.key)
        .field("reason", to_string(step.status));
    fail(call, 503, "no origin can serve this stream");
  }
}

void RtcSignal::send_request(Call& call) {
  call.stage = Stage::kAnswering;
  call.response =
      std::make_unique<CollectedResponse>(call.request.method, limits::kSignalBodyBytes);
  const std::string body = body_for_origin(call);
  call.side.out.append(call.request.head);
  call.side.out.append("Content-Length: " + std::to_string(body.size()) + "\r\n\r\n");
  call.side.out.append(body);
  const bool advice = call.request.plan.step == RtcStep::kPreflight;
  arm(call, advice ? process_.config.http.dial_timeout : process_.config.http.answer_timeout);
}

RtcSignal::Call* RtcSignal::find(CallId id) {
  const auto found = calls_.find(id);
  return found == calls_.end() ? nullptr : found->second.get();
}

void RtcSignal::on_ready(std::uint64_t token, std::uint32_t events) {
  Call* call = find(token);
  if (call == nullptr) return;
  if (call->stage == Stage::kDialing) {
    on_dial(*call, dialer_.on_ready(call->dial, events));
  } else if (call->stage == Stage::kAnswering && call->side.fd) {
    call->side.note(events);
    serve(*call);
  }
}

// Writes and reads until the socket blocks, or the answer is there.
void RtcSignal::serve(Call& call) {
  std::size_t moved = 0;
  if (call.side.flush(moved) == IoStatus::kEnded) {
    call.side.out.clear();  // it may have said why: what it sent is read below
    call.side.readable = true;
  }
  ParseStatus status = ParseStatus::kNeedMore;
  while (call.side.readable && status == ParseStatus::kNeedMore) {
    ssize_t n = 0;
    const IoStatus io = call.side.read(read_buffer_, n);
    if (io == IoStatus::kBlocked) return;
    status = io == IoStatus::kEnded
                 ? call.response->on_close()
                 : call.response->feed(ByteView(read_buffer_.data(), static_cast<std::size_t>(n)));
  }
  if (status == ParseStatus::kNeedMore) return;
  call.side = Side{};
  if (status == ParseStatus::kComplete) {
    on_response(call);
  } else {
    unreadable(call);
  }
}

void RtcSignal::unreadable(Call& call) {
  LogLine(LogLevel::kWarn, "origin broke off or broke the protocol")
      .session(call.request.session)
      .field("stream", call.request.plan.key)
      .field("origin", origin_text(call))
      .field("client", to_string(call.request.client))
      .field("reason", call.response->error());
  if (call.request.plan.step == RtcStep::kRemove) record_->end_flow(call);
  if (call.request.plan.step == RtcStep::kOffer && call.response->has_head()) {
    record_->note_location(call);
    remover_->give_up(call, 502, "the origin's answer cannot be read");
  } else {
    fail(call, 502, "the origin's answer cannot be read");
  }
}

void RtcSignal::arm(Call& call, std::uint64_t ms) {
  const timeval wait = to_timeval(ms);
  add_or_end(call.timer.get(), &wait);
}

void RtcSignal::on_timeout(CallId id) {
  Call* call = find(id);
  if (call == nullptr) return;
  switch (call->stage) {
    case Stage::kAsking:  // HookClient and OriginDialer have deadlines of their own
    case Stage::kDialing:
      break;
    case Stage::kAnswering:
      LogLine(LogLevel::kWarn, "origin did not answer in time")
          .session(call->request.session)
          .field("stream", call->request.plan.key)
          .field("origin", origin_text(*call))
          .field("client", to_string(call->request.client));
      answer_late(*call);
      break;
    case Stage::kRecording:
      record_->refuse_record(*call, 503, "the master did not answer");
      break;
  }
}

// The client waits no longer. The answer to an offer is still waited for, to take back what it
// made.
void RtcSignal::answer_late(Call& call) {
  if (call.request.plan.step == RtcStep::kRemove) record_->end_flow(call);
  if (call.request.plan.step != RtcStep::kOffer || call.silent) {
    fail(call, 504, "the origin did not answer in time");
    return;
  }
  arm(call, kLateAnswerMs);
  tell_client(call, 504, "the origin did not answer in time");
}

void RtcSignal::cancel(CallId id) {
  Call* call = find(id);
  if (call == nullptr) return;
  call->silent = true;
  const bool offer = call->request.plan.step == RtcStep::kOffer;
  if (offer && call->stage == Stage::kRecording) {
    remover_->remove_at_origin(*call);
  } else if (!offer || call->stage != Stage::kAnswering) {
    finish(*call, {});
  }
}

std::string RtcSignal::origin_text(const Call& call) const {
  return weir::origin_text(process_.state, call.origin, call.endpoint);
}

}  // namespace weir::http
