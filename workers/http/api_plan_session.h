// What a request on the API port asks for: which of the origins' answers are fetched, and what is
// made of them. Pure. Owner: the caller; views are copied, so a plan outlives its request.
// Errors are plans too: kRefused carries the answer. docs/API.md, "HTTP API of the origins".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/endpoint.h"
#include "common/base/network.h"
#include "common/proto/http/head.h"

namespace weir::http {

// Codes of errors, in the numbers of the System API where those fit; docs/API.md lists them.
namespace api_code {
inline constexpr int kBadRequest = 1000;
inline constexpr int kTooLarge = 1002;
inline constexpr int kNotFound = 1003;
inline constexpr int kBadMethod = 1004;
inline constexpr int kUnauthorized = 1005;
inline constexpr int kTimeout = 1006;
inline constexpr int kBadParameter = 1007;
inline constexpr int kConflict = 1008;  // several origins have what is to be removed
inline constexpr int kBusy = 2005;
inline constexpr int kNoOrigin = 2006;       // none has an API endpoint
inline constexpr int kOriginsFailed = 2007;  // none gave a usable answer
}  // namespace api_code

enum class ApiKind : std::uint8_t {
  kRefused,   // status, code and error are the answer
  kVersions,  // answered here
  kList,      // `array` of all origins, one after the other, by page
  kRows,      // one row an origin
  kItem,      // one stream, client or vhost: GET
  kRemove,    // the same: DELETE
};

struct ApiPlan {
  ApiKind kind = ApiKind::kRefused;
  int status = 404;
  int code = api_code::kNotFound;
  std::string_view error = "there is nothing at this path";
  std::string_view allow;
  std::string array;     // kList: `streams`; kItem, kRemove: the object's name, `stream`
  std::string target;    // what the origins are asked
  std::string callback;  // ?callback=: the answer is a call of that function (JSONP)
  std::string origin;    // ?origin=: the only one to ask, by name or id; empty: all
  std::uint64_t start = 0;
  std::uint64_t count = 0;
};

inline constexpr std::uint64_t kApiRowsMax = 1000;   // rows of one page, unless ?count= says
inline constexpr std::uint64_t kApiPageMax = 10000;  // the most that it may say
inline constexpr std::uint64_t kApiStartMax = 1'000'000;

// `path` and `query` as in RequestHead. As SRS does, what only reads takes any method; the origins
// get a GET, without what could tell them otherwise (`?callback=…&method=DELETE`).
ApiPlan plan_api(Method method, std::string_view path, std::string_view query);

// Whether `authorization` (`Bearer TOKEN`) or `?token=` carries the token. An empty token is
// carried by all. Takes the same time wherever the texts differ.
bool carries_token(std::string_view token, std::string_view authorization, std::string_view query);
// Whether a request that changes something (a kick) may pass: with the token, which has been
// checked, or, when none is configured, from the machine itself or a trusted network. The port is
// public.
bool may_change(std::string_view token, const Endpoint& peer, const NetworkList& trusted);

}  // namespace weir::http
