// RtcSignal: what the client is answered, and the end of a call.
#include <utility>

#include "workers/http/rtc_call.h"
#include "workers/http/rtc_record.h"
#include "workers/http/rtc_removal.h"

namespace weir::http {
namespace {

using ipc::Counter;

constexpr std::string_view kExpose = "Access-Control-Expose-Headers";

// Fields of one connection, of the body's framing, and those that are written anew.
bool is_passed_on(const Fields& fields, const Field& field) {
  static constexpr FieldSet kOwn =
      kHopByHop | FieldSet{HeaderId::kContentLength, HeaderId::kContentType, HeaderId::kLocation};
  return !kOwn.has(field.id) && !equal_ignoring_case(field.name, kExpose) &&
         !fields.has_token(HeaderId::kConnection, field.name);
}

bool is_counter_offer(const ResponseHead& head, RtcApi api) {
  return head.status == kNotAcceptable && api == RtcApi::kWhep &&
         head.fields.has(HeaderId::kLocation) &&
         has_media_type(head.fields.get(HeaderId::kContentType), "application/sdp");
}

}  // namespace

RtcAnswer rtc_error(RtcApi api, int status, std::string_view why) {
  RtcAnswer answer;
  answer.status = status;
  if (status == 503) answer.fields.emplace_back("Retry-After", "2");
  if (!is_json(api)) {
    answer.content_type = "text/plain; charset=utf-8";
    answer.body = std::string(why) + "\n";
    return answer;
  }
  const int code = status == 404   ? api_code::kNotFound
                   : status == 405 ? api_code::kBadMethod
                   : status == 503 ? api_code::kNoOrigin
                   : status >= 500 ? api_code::kOriginsFailed
                                   : api_code::kBadParameter;
  answer.content_type = "application/json";
  answer.body = api_error(status, code, why).body;
  return answer;
}

// 200 and not 204: RFC 9725 names that status for OPTIONS.
RtcAnswer rtc_preflight(std::string_view allow) {
  RtcAnswer answer;
  answer.allow = allow;
  answer.fields = {{"Allow", std::string(allow)}, {"Accept-Post", "application/sdp"}};
  if (allow.find("PATCH") != std::string_view::npos) {
    answer.fields.emplace_back("Accept-Patch", "application/trickle-ice-sdpfrag");
  }
  return answer;
}

void RtcSignal::on_response(Call& call) {
  const int status = call.response->head().status;
  if (status >= 300 && status < 400) {
    on_redirect(call);
    return;
  }
  switch (call.request.plan.step) {
    case RtcStep::kOffer:
      if (is_success(status) || is_counter_offer(call.response->head(), call.request.plan.api)) {
        record_->on_offer_answer(call);
      } else {
        pass_on(call);
      }
      return;
    case RtcStep::kPatch:
      record_->on_patch_answer(call);
      return;
    case RtcStep::kRemove:
      if (call.searching) {
        remover_->on_publishers(call);
        return;
      }
      if (call.removal) {
        LogLine(LogLevel::kInfo, "origin was told of the session's end")
            .session(call.request.session)
            .field("stream", call.request.plan.key)
            .field("origin", origin_text(call))
            .field("status", status);
      }
      // What the origin does not know (any more) is over here, too.
      if (is_success(status) || status == 404 || status == 410) record_->end_flow(call);
      pass_on(call);
      return;
    case RtcStep::kPreflight:
      record_->on_advice(call);
      return;
    case RtcStep::kElsewhere:
    case RtcStep::kRefused:
    case RtcStep::kEmpty:
    case RtcStep::kNack:
      pass_on(call);
      return;
  }
}

void RtcSignal::pass_on(Call& call) {
  RtcAnswer answer = copy_answer(call);
  answer.body = std::move(call.response->body());
  finish(call, answer);
}

RtcAnswer copy_answer(const RtcSignal::Call& call) {
  const ResponseHead& head = call.response->head();
  RtcAnswer answer;
  answer.status = head.status;
  answer.content_type = head.fields.get(HeaderId::kContentType);
  std::string expose = "Location, ETag, Link";
  for (const Field& field : head.fields) {
    if (equal_ignoring_case(field.name, kExpose)) expose.append(", ").append(field.value);
    if (is_passed_on(head.fields, field)) answer.fields.emplace_back(field.name, field.value);
  }
  answer.fields.emplace_back(kExpose, expose);
  return answer;
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
  answer.origin = call.origin;
  call.silent = true;
  on_answer_(call.owner, answer);
}

void RtcSignal::forget_master_request(Call& call) {
  if (call.master_request == 0) return;
  // A session that is being recorded must be ended when its answer comes; see on_flow_created.
  if (call.stage == Stage::kRecording && call.request.plan.step == RtcStep::kOffer) {
    master_requests_[call.master_request] = 0;
  } else {
    master_requests_.erase(call.master_request);
  }
  call.master_request = 0;
}

void RtcSignal::finish(Call& call, RtcAnswer answer) {
  answer.key = call.request.plan.key;
  answer.origin = call.origin;
  forget_master_request(call);
  if (call.hook != 0) process_.hooks.cancel(call.hook);
  dialer_.close(call.dial);
  if (call.let_in && !call.creating) tell_stop(call);
  const std::uint64_t owner = call.owner;
  const bool silent = call.silent;
  const bool removal = call.removal;
  calls_.erase(call.id);
  if (!silent) on_answer_(owner, answer);
  if (removal) remover_->on_finished();
}

}  // namespace weir::http
