// A request of the System API as its handler sees it, and the answer to it. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/endpoint.h"
#include "common/proto/http/head.h"
#include "workers/control/cross_site.h"

namespace weir::control {

// SRS can send no header with its heartbeat, so a token may follow in the path.
inline constexpr std::string_view kRegisterPath = "/api/v1/srs/register";

// Who asks. Over the control socket that is a user of this machine: an operator, or somebody who
// has no business there.
enum class Caller : std::uint8_t { kNetwork, kOperator, kStranger };

struct HttpRequest {
  http::Method method = http::Method::kOther;
  std::string path;   // as sent, without query and path_token
  std::string query;  // after the ?
  std::string authorization;
  std::string path_token;  // what stands behind kRegisterPath, not unescaped
  std::string body;
  Endpoint peer;
  RequestSource source;
  Caller caller = Caller::kNetwork;
  std::uint32_t uid = 0;  // of a caller who is not kNetwork
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // besides type, length, connection
};

// {"code":N,"error":"..."} with this status.
HttpResponse make_error(int status, int code, std::string_view text);
// 405; `allow`: the methods that are taken.
HttpResponse bad_method(const char* allow);
// 503, for what another try may change.
HttpResponse retry_later(int code, std::string_view text);
// The same for what the HTTP server refuses by itself; a status that the API does not know becomes
// the nearest one that it does.
HttpResponse make_refusal(int status, std::string_view why);

// Codes of errors; docs/API.md lists them. 0 is success.
namespace api_code {
inline constexpr int kBadRequest = 1000;  // not HTTP, or too much of it
inline constexpr int kBadField = 1001;    // registration: the error names the field
inline constexpr int kTooLarge = 1002;
inline constexpr int kNotFound = 1003;
inline constexpr int kBadMethod = 1004;
inline constexpr int kUnauthorized = 1005;
inline constexpr int kTimeout = 1006;       // the client was too slow
inline constexpr int kBadParameter = 1007;  // of the query
inline constexpr int kCrossSite = 1009;     // a page of another site may have sent it
inline constexpr int kTableFull = 2000;
inline constexpr int kNoAnswer = 2001;  // the master did not answer in time, or is gone
inline constexpr int kStatic = 2002;    // the origin stands in the configuration
inline constexpr int kRefused = 2003;   // the master refused for another reason
inline constexpr int kNotReady = 2004;
inline constexpr int kForbidden = 1008;  // not for this caller
inline constexpr int kBusy = 2005;       // too many connections
}  // namespace api_code

}  // namespace weir::control
