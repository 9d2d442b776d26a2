#include "workers/control/http_message.h"

#include "workers/control/json.h"

namespace weir::control {

HttpResponse make_error(int status, int code, std::string_view text) {
  const JsonPtr json = make_object();
  add_number(json.get(), "code", static_cast<std::uint64_t>(code));
  add_text(json.get(), "error", text);
  HttpResponse response;
  response.status = status;
  response.body = print(json.get());
  return response;
}

HttpResponse bad_method(const char* allow) {
  HttpResponse response = make_error(405, api_code::kBadMethod, "method not allowed here");
  response.headers.emplace_back("Allow", allow);
  return response;
}

HttpResponse retry_later(int code, std::string_view text) {
  HttpResponse response = make_error(503, code, text);
  response.headers.emplace_back("Retry-After", "5");
  return response;
}

HttpResponse make_refusal(int status, std::string_view why) {
  switch (status) {
    case 403:
      return make_error(403, api_code::kUnauthorized, why);
    case 408:
      return make_error(408, api_code::kTimeout, "the request took too long");
    case 413:
      return make_error(413, api_code::kTooLarge, "the body is too large");
    case 414:
    case 431:
      return make_error(431, api_code::kTooLarge, "the head is too large");
    case 503:
      return make_error(503, api_code::kBusy, why);
    default:
      return make_error(400, api_code::kBadRequest,
                        "this is not a valid HTTP request: " + std::string(why));
  }
}

}  // namespace weir::control
