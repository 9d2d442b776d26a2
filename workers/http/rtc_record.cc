#include "workers/http/rtc_record.h"

#include <array>
#include <utility>

#include "common/base/limits.h"
#include "common/base/secret.h"
#include "workers/http/rtc_call.h"
#include "workers/http/rtc_removal.h"

namespace weir::http {
namespace {

using ipc::Counter;

constexpr std::uint64_t kMasterTimeoutMs = 3000;
constexpr std::size_t kRtc = static_cast<std::size_t>(ipc::EndpointKind::kRtc);

std::string without_query(std::string_view url) {
  return std::string(url.substr(0, url.find('?')));
}

}  // namespace

// Where the session that the offer has made can be ended.
void RtcRecord::note_location(Call& call) const {
  const ResponseHead& head = call.response->head();
  if (is_json(call.request.plan.api)) return;
  if (!is_success(head.status) && head.status != kNotAcceptable) return;
  const std::string_view written = head.fields.get(HeaderId::kLocation);
  call.location = resolve_location(written, call.request.plan.target);
  const std::string_view path = std::string_view(call.location).substr(0, call.location.find('?'));
  if (is_resource_path(path)) return;
  LogLine(LogLevel::kWarn, "origin's Location cannot be passed on")
      .session(call.request.session)
      .field("stream", call.request.plan.key)
      .field("origin", signal_.origin_text(call))
      .field("client", to_string(call.request.client))
      .field("location", written);
}

Result<RtcMade> RtcRecord::read_made(Call& call, std::string_view sdp) const {
  const ResponseHead& head = call.response->head();
  if (head.fields.has(HeaderId::kContentEncoding)) return weir::fail("it is compressed");
  RtcAddresses addresses = addresses_for(call);
  const Endpoint wanted =
      signal_.process_.config.rtc.eip
          ? wanted_address(call.request.plan.eip, signal_.process_.config.rtc.listen.port)
          : Endpoint{};
  Endpoint wanted_tcp = wanted;
  if (!wanted.empty()) {
    addresses.udp = {&wanted, 1};
    if (!signal_.addresses_.tcp().empty()) {
      wanted_tcp.port = signal_.addresses_.tcp().front().port;  // a port in ?eip= is that of UDP
      addresses.tcp = {&wanted_tcp, 1};
    }
  }
  return head.status == kNotAcceptable ? read_counter_offer(sdp, addresses)
                                       : read_answer(call.offer, sdp, addresses);
}

RtcAddresses RtcRecord::addresses_for(const Call& call) const {
  RtcAddresses out;
  out.udp = signal_.addresses_.udp();
  out.tcp = signal_.addresses_.tcp();
  out.origin_api = call.endpoint;
  ipc::OriginRecord record;
  if (!signal_.process_.state.read_origin(call.origin, record)) return out;
  for (std::size_t i = 0; i < record.endpoint_count[kRtc]; ++i) {
    const Endpoint& media = record.endpoints[kRtc][i];
    if (media.scheme == Scheme::kTcp || media.scheme == Scheme::kTls) continue;
    out.origin_media = media;
    break;
  }
  return out;
}

// The ICE servers that the origin names (RFC 9725, section 4.6), and with http.cors origin what it
// allows pages of other sites.
void RtcRecord::on_advice(Call& call) {
  RtcAnswer answer = rtc_preflight(call.request.plan.allow);
  const ResponseHead& head = call.response->head();
  for (const Field& field : head.fields) {
    const std::string_view name = field.name;
    const bool cors = signal_.process_.config.http.cors == "origin" &&
                      equal_ignoring_case(name.substr(0, 15), "Access-Control-");
    if (is_success(head.status) && (cors || equal_ignoring_case(name, "Link"))) {
      answer.fields.emplace_back(field.name, field.value);
    }
  }
  signal_.finish(call, answer);
}

void RtcRecord::on_offer_answer(Call& call) {
  note_location(call);
  std::string_view sdp = call.response->body();
  if (is_json(call.request.plan.api)) {
    auto answer = read_srs_answer(call.response->body());
    if (!answer || !answer->ok) {  // an error in SRS's own form
      signal_.pass_on(call);
      return;
    }
    call.srs = std::move(*answer);
    sdp = call.srs.sdp;
    // There is no address to end it at: a publisher is found by what it publishes to.
    if (call.request.plan.publisher) call.location = without_query(call.stream_url);
  }
  if (call.silent) {  // came too late
    signal_.remover_->remove_at_origin(call);
    return;
  }
  auto made = read_made(call, sdp);
  if (!made) {
    LogLine(LogLevel::kWarn, "origin's webrtc answer cannot be used")
        .session(call.request.session)
        .field("stream", call.request.plan.key)
        .field("origin", signal_.origin_text(call))
        .field("client", to_string(call.request.client))
        .field("reason", made.error().text);
    signal_.remover_->give_up(call, 502, "the origin's answer cannot be used");
    return;
  }
  call.made = std::move(*made);
  record_next(call);
}

// One FlowCreate after the other: those behind the first name its group.
void RtcRecord::record_next(Call& call) {
  const RtcFlow& flow = call.made.flows[call.recorded];
  ipc::FlowCreate create;
  create.session = call.recorded == 0 ? call.session : signal_.process_.next_session++;
  create.group = call.group;
  create.role = call.request.plan.publisher ? ipc::Role::kPublisher : ipc::Role::kPlayer;
  create.origin = call.origin;
  create.origin_endpoint = flow.media;
  create.signaller = call.request.client;
  const bool fits = create.texts.set(ipc::FlowField::kUsername, flow.username) &&
                    create.texts.set(ipc::FlowField::kPassword, flow.password) &&
                    create.texts.set(ipc::FlowField::kKey, call.request.plan.key);
  // A long address of the session's is not worth a refusal: it only spares the origin a timeout.
  if (call.location.size() <= limits::kFlowResourceBytes) {
    create.texts.set(ipc::FlowField::kResource, call.location);
  }
  const HookAction at_end =
      call.request.plan.publisher ? HookAction::kUnpublish : HookAction::kStop;
  const std::string param = http_hook_param(call.request.plan.param);
  if (signal_.process_.hooks.wants(at_end) && param.size() <= limits::kFlowParamBytes) {
    create.texts.set(ipc::FlowField::kParam, param);  // where it does not fit, the end goes without
  }
  call.stage = Stage::kRecording;
  create.header.request = call.master_request = signal_.process_.link.next_request();
  if (!fits || !signal_.process_.link.send(create)) {
    if (fits) {
      refuse_record(call, 503, "the master is gone");
    } else {
      refuse_record(call, 400, "its credentials are too long");
    }
    return;
  }
  if (call.group == 0) call.group = create.session;
  call.creating = true;
  signal_.master_requests_.emplace(call.master_request, call.id);
  signal_.arm(call, kMasterTimeoutMs);
}

void RtcRecord::on_flow_created(const ipc::FlowCreated& message) {
  const bool mine = signal_.master_requests_.count(message.header.request) != 0;
  Call* call = signal_.take_master_request(message.header.request);
  const bool made = message.status == ipc::FlowStatus::kOk ||
                    // A restart that names the pair that is in use changes nothing.
                    (call != nullptr && call->request.plan.step == RtcStep::kPatch &&
                     message.status == ipc::FlowStatus::kDuplicate);
  if (call == nullptr) {
    if (mine && made) end_flow(message.flow);  // nobody wants it any more
    return;
  }
  if (!made) {
    call->creating = call->recorded > 0;
    const bool never = message.status == ipc::FlowStatus::kTooLong;
    refuse_record(*call, never ? 400 : 503, to_string(message.status));
    return;
  }
  if (call->request.plan.step == RtcStep::kPatch) {
    recorded(*call);
    return;
  }
  if (call->recorded++ == 0) {
    call->flow = message.flow;
    call->flow_name =
        print_flow_name({message.flow.slot, message.flow.generation, std::to_array(message.token)});
  }
  if (call->recorded < call->made.flows.size()) {
    record_next(*call);
  } else {
    recorded(*call);
  }
}

void RtcRecord::recorded(Call& call) {
  RtcAnswer answer = copy_answer(call);
  answer.body = is_json(call.request.plan.api) && call.srs.json ? with_sdp(call.srs, call.made.sdp)
                                                                : call.made.sdp;
  if (call.request.plan.step == RtcStep::kOffer) {
    signal_.process_.counters.add(Counter::kRtcSignalSessions);
    const std::string_view path =
        std::string_view(call.location).substr(0, call.location.find('?'));
    if (is_resource_path(path)) {
      answer.fields.emplace_back(
          "Location", public_location(call.request.base, call.location, signal_.hint_key_,
                                      route::origin_fingerprint(signal_.hint_key_, call.endpoint),
                                      call.flow_name));
    }
  }
  LogLine(LogLevel::kInfo, call.request.plan.step == RtcStep::kOffer ? "webrtc session signalled"
                                                                     : "webrtc session restarted")
      .session(call.group != 0 ? call.group : call.request.session)
      .field("api", to_string(call.request.plan.api))
      .field("role", call.request.plan.publisher ? "publisher" : "player")
      .field("stream", call.request.plan.key)
      .field("origin", signal_.origin_text(call))
      .field("media", call.made.flows.empty() ? "" : to_string(call.made.flows.front().media))
      .field("client", to_string(call.request.client))
      .field("ufrag", call.made.flows.empty() ? std::string()
                                              : call.made.flows.front().username.substr(0, 8));
  signal_.finish(call, answer);
}

// The answer would lead the client to a session that no worker knows.
void RtcRecord::refuse_record(Call& call, int status, std::string_view why) {
  LogLine(LogLevel::kWarn, "webrtc session cannot be recorded")
      .session(call.request.session)
      .field("stream", call.request.plan.key)
      .field("origin", signal_.origin_text(call))
      .field("client", to_string(call.request.client))
      .field("reason", why);
  if (call.request.plan.step != RtcStep::kOffer) {
    signal_.fail(call, 503, "the session cannot be changed now");
  } else {
    signal_.remover_->give_up(call, status, "the session cannot be recorded");
  }
}

void RtcRecord::on_patch_answer(Call& call) {
  const int status = call.response->head().status;
  if (call.request.plan.sdp && is_success(status)) {
    on_sdp_accepted(call);
  } else if (status == 200 && !call.response->body().empty()) {
    on_restart_answer(call);
  } else {
    signal_.pass_on(call);
  }
}

// The client has answered a counter-offer: now its half of the names is known.
void RtcRecord::on_sdp_accepted(Call& call) {
  call.made.sdp = call.response->body();
  ipc::FlowRecord record;
  const std::string ufrag = offered_ufrag(call.offer);
  if (!find_flow(call) || !signal_.process_.flows->read(call.flow, record) || ufrag.empty()) {
    recorded(call);
    return;
  }
  const std::string_view names = record.get(ipc::FlowField::kUsername);
  RtcFlow flow;
  flow.username = std::string(names.substr(0, names.find(':'))) + ":" + ufrag;
  flow.password = record.get(ipc::FlowField::kPassword);
  send_credentials(call, flow);
}

void RtcRecord::on_restart_answer(Call& call) {
  auto made = read_restart(call.request.body, call.response->body(), addresses_for(call));
  if (!made) {
    LogLine(LogLevel::kWarn, "origin's answer to an ICE restart cannot be used")
        .session(call.request.session)
        .field("origin", signal_.origin_text(call))
        .field("client", to_string(call.request.client))
        .field("reason", made.error().text);
    signal_.fail(call, 502, "the origin's answer cannot be used");
    return;
  }
  call.made = std::move(*made);
  // Without credentials nothing must be known here. Without a flow it was signalled by another
  // Weir, or is over: its media is none of ours.
  if (call.made.flows.empty() || !find_flow(call)) {
    recorded(call);
    return;
  }
  const RtcFlow flow = call.made.flows.front();
  send_credentials(call, flow);
}

void RtcRecord::send_credentials(Call& call, const RtcFlow& flow) {
  ipc::FlowCredentials credentials;
  credentials.flow = call.flow;
  credentials.origin_endpoint = flow.media;
  const bool fits = credentials.texts.set(ipc::FlowField::kUsername, flow.username) &&
                    credentials.texts.set(ipc::FlowField::kPassword, flow.password);
  call.stage = Stage::kRecording;
  credentials.header.request = call.master_request = signal_.process_.link.next_request();
  if (!fits || !signal_.process_.link.send(credentials)) {
    refuse_record(call, 503, fits ? "the master is gone" : "its credentials are too long");
    return;
  }
  signal_.master_requests_.emplace(call.master_request, call.id);
  signal_.arm(call, kMasterTimeoutMs);
}

// The flow that the resource's address names, if its token is right.
bool RtcRecord::find_flow(Call& call) const {
  const auto name = parse_flow_name(call.request.plan.flow);
  ipc::FlowRecord record;
  const ipc::FlowRef flow = name ? ipc::FlowRef{name->slot, name->generation} : ipc::FlowRef{};
  if (!name || !signal_.process_.flows || !signal_.process_.flows->read(flow, record)) return false;
  if (!equal_secrets(as_text(name->token), as_text(record.token))) return false;
  call.flow = flow;
  // A Location need not name these; the logs do.
  call.group = record.group != 0 ? record.group : record.session;
  call.request.plan.key = record.get(ipc::FlowField::kKey);
  call.request.plan.publisher = record.role == ipc::Role::kPublisher;
  call.request.plan.api = call.request.plan.publisher ? RtcApi::kWhip : RtcApi::kWhep;
  return true;
}

void RtcRecord::end_flow(Call& call) {
  if (find_flow(call)) end_flow(call.flow);
}

void RtcRecord::end_flow(ipc::FlowRef flow) {
  ipc::FlowEnd end;
  end.flow = flow;
  end.reason = ipc::FlowEndReason::kDeleted;
  signal_.process_.link.send(end);
}

}  // namespace weir::http
