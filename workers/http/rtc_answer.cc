#include "workers/http/rtc_answer.h"

#include "common/base/ascii.h"
#include "workers/http/api_merge.h"

namespace weir::http {
namespace {

constexpr std::string_view kExpose = "Access-Control-Expose-Headers";

// Fields of one connection, of the body's framing, and those that are written anew.
bool is_passed_on(const Fields& fields, const Field& field) {
  static constexpr FieldSet kOwn =
      kHopByHop | FieldSet{HeaderId::kContentLength, HeaderId::kContentType, HeaderId::kLocation};
  return !kOwn.has(field.id) && !same_ignoring_case(field.name, kExpose) &&
         !fields.has_token(HeaderId::kConnection, field.name);
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

RtcAnswer rtc_advice(std::string_view allow, const ResponseHead& head, bool cors) {
  RtcAnswer answer = rtc_preflight(allow);
  if (!is_success(head.status)) return answer;
  for (const Field& field : head.fields) {
    const std::string_view name = field.name;
    if (same_ignoring_case(name, "Link") ||
        (cors && same_ignoring_case(name.substr(0, 15), "Access-Control-"))) {
      answer.fields.emplace_back(field.name, field.value);
    }
  }
  return answer;
}

RtcAnswer copy_answer(const ResponseHead& head) {
  RtcAnswer answer;
  answer.status = head.status;
  answer.content_type = head.fields.get(HeaderId::kContentType);
  std::string expose = "Location, ETag, Link";
  for (const Field& field : head.fields) {
    if (same_ignoring_case(field.name, kExpose)) expose.append(", ").append(field.value);
    if (is_passed_on(head.fields, field)) answer.fields.emplace_back(field.name, field.value);
  }
  answer.fields.emplace_back(kExpose, expose);
  return answer;
}

}  // namespace weir::http
