#include "workers/control/http_message.h"

#include "common/base/version.h"
#include "workers/control/json.h"

namespace weir::control {
namespace {

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return "Error";
  }
}

}  // namespace

std::string_view to_string(HttpMethod method) {
  switch (method) {
    case HttpMethod::kGet:
      return "GET";
    case HttpMethod::kHead:
      return "HEAD";
    case HttpMethod::kPost:
      return "POST";
    case HttpMethod::kPut:
      return "PUT";
    case HttpMethod::kDelete:
      return "DELETE";
    case HttpMethod::kOptions:
      return "OPTIONS";
    case HttpMethod::kOther:
      return "other";
  }
  return "other";
}

std::string to_wire(const HttpResponse& response, bool keep_alive, bool head_only) {
  std::string out = "HTTP/1.1 ";
  out.append(std::to_string(response.status)).append(" ").append(reason(response.status));
  out.append("\r\nServer: weir/")
      .append(version())
      .append("\r\nContent-Type: ")
      .append(response.content_type);
  out.append("\r\nContent-Length: ").append(std::to_string(response.body.size())).append("\r\n");
  for (const auto& [name, value] : response.headers) {
    out.append(name).append(": ").append(value).append("\r\n");
  }
  out.append(keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
  if (!head_only) out.append(response.body);
  return out;
}

HttpResponse make_error(int status, int code, std::string_view text) {
  const JsonPtr json = make_object();
  add_number(json.get(), "code", static_cast<std::uint64_t>(code));
  add_text(json.get(), "error", text);
  HttpResponse response;
  response.status = status;
  response.body = print(json.get());
  return response;
}

}  // namespace weir::control
