#include "workers/http/api_plan_session.h"

#include <algorithm>
#include <array>
#include <optional>

#include "common/base/secret.h"
#include "common/proto/http/target.h"
#include "common/route/query_reading.h"

namespace weir::http {
namespace {

constexpr std::string_view kRoot = "/api/v1/";

struct Collection {
  std::string_view many;
  std::string_view one;
};
constexpr std::array<Collection, 3> kCollections = {
    {{"streams", "stream"}, {"clients", "client"}, {"vhosts", "vhost"}}};

ApiPlan refuse(int status, int code, std::string_view error, std::string_view allow = {}) {
  ApiPlan plan;
  plan.status = status;
  plan.code = code;
  plan.error = error;
  plan.allow = allow;
  return plan;
}

// False: it is there and is no number from `least` to `most`.
bool read_number(std::string_view query, std::string_view name, std::uint64_t least,
                 std::uint64_t most, std::uint64_t& value) {
  const auto text = find_param(query, name);
  if (!text) return true;
  return parse_decimal(*text, value) && value >= least && value <= most;
}

// What is for us. SRS takes the method of a JSONP request from its query.
constexpr std::array<std::string_view, 6> kOurs = {"token", "origin",   "start",
                                                   "count", "callback", "method"};

// The query without what is for us. False: an origin would find some of it in there all the same.
bool origin_query(std::string_view query, std::string& out) {
  out = query;
  for (const std::string_view ours : kOurs) out = remove_param(out, ours);
  return !route::query_names_any(out, kOurs);
}

// A name that SRS takes, and no longer than any script needs.
bool is_callback(std::string_view name) {
  constexpr std::size_t kMost = 128;
  return !name.empty() && name.size() <= kMost && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

// False: the plan has become a refusal.
bool read_callback(std::string_view query, ApiPlan& plan) {
  const auto callback = find_param(query, "callback");
  if (!callback || callback->empty()) return true;
  const std::string_view method = find_param(query, "method").value_or("GET");
  if (is_callback(*callback) && method == "GET") {
    plan.callback = *callback;
    return true;
  }
  plan = refuse(400, api_code::kBadParameter,
                method == "GET" ? "callback is a name of letters, digits, dots, - and _"
                                : "with callback the method is GET");
  return false;
}

// streams, streams/ID: false for any other path.
bool plan_collection(std::string_view rest, Method method, ApiPlan& plan) {
  const std::size_t slash = rest.find('/');
  const std::string_view name = rest.substr(0, slash);
  const auto found = std::find_if(kCollections.begin(), kCollections.end(),
                                  [&](const Collection& c) { return c.many == name; });
  if (found == kCollections.end()) return false;
  const std::string_view id =
      slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  if (id.find('/') != std::string_view::npos) return false;
  // SRS wants the slash behind the name of a collection, and redirects without it.
  plan.target = std::string(kRoot) + std::string(name) + "/" + std::string(id);
  if (id.empty()) {
    plan.kind = ApiKind::kList;
    plan.array = name;
    return true;
  }
  plan.kind = method == Method::kDelete ? ApiKind::kRemove : ApiKind::kItem;
  plan.array = found->one;
  return true;
}

}  // namespace

ApiPlan plan_api(Method method, std::string_view path, std::string_view query) {
  const bool read = method == Method::kGet || method == Method::kHead;
  if (path == kRoot.substr(0, kRoot.size() - 1)) path = kRoot;
  std::string normal;
  if (!path.starts_with(kRoot) || normalise_path(path, normal) != PathError::kNone) return {};
  const std::string_view rest = path.substr(kRoot.size());
  ApiPlan plan;
  if (!read_callback(query, plan)) return plan;
  if (rest == "versions" || rest == "versions/") {
    plan.kind = ApiKind::kVersions;
    return plan;
  }
  if (!plan_collection(rest, method, plan)) {
    plan.kind = ApiKind::kRows;
    plan.target = path;
  }
  const bool item = plan.kind == ApiKind::kItem || plan.kind == ApiKind::kRemove;
  const bool any_method = plan.kind == ApiKind::kRows;
  if (!read && !any_method && !(item && method == Method::kDelete)) {
    return refuse(405, api_code::kBadMethod, "method not allowed here",
                  item ? "GET, HEAD, DELETE" : "GET, HEAD");
  }
  plan.count = kApiRowsMax;
  if (plan.kind == ApiKind::kList && (!read_number(query, "start", 0, kApiStartMax, plan.start) ||
                                      !read_number(query, "count", 1, kApiPageMax, plan.count))) {
    return refuse(400, api_code::kBadParameter,
                  "start is a number from 0 to 1000000, count one from 1 to 10000");
  }
  if (const auto origin = find_param(query, "origin");
      origin && (!percent_decode(*origin, plan.origin) || plan.origin.empty())) {
    return refuse(400, api_code::kBadParameter, "origin is the name or the id of an origin");
  }
  std::string passed;
  if (!origin_query(query, passed)) {
    return refuse(400, api_code::kBadParameter, "the query can be read in two ways");
  }
  if (plan.kind == ApiKind::kList) {
    // Any of them may hold the whole page; one more says whether there is another page.
    append_param(passed, "start", "0");
    append_param(passed, "count", std::to_string(plan.start + plan.count + 1));
  }
  if (!passed.empty()) plan.target += "?" + passed;
  return plan;
}

bool may_change(std::string_view token, const Endpoint& peer, const NetworkList& trusted) {
  return !token.empty() || peer.is_loopback() || trusted.contains(peer);
}

bool carries_token(std::string_view token, std::string_view authorization, std::string_view query) {
  static constexpr std::string_view kBearer = "Bearer ";
  if (token.empty()) return true;
  if (authorization.starts_with(kBearer) &&
      equal_secrets(authorization.substr(kBearer.size()), token)) {
    return true;
  }
  const auto parameter = find_param(query, "token");
  std::string decoded;
  return parameter && percent_decode(*parameter, decoded) && equal_secrets(decoded, token);
}

}  // namespace weir::http
