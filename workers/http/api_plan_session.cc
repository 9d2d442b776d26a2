#include "workers/http/api_plan_session.h"

#include <algorithm>
#include <array>
#include <optional>

#include "common/base/secret.h"
#include "common/proto/http/target.h"

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

// The query without what is for us.
std::string origin_query(std::string_view query) {
  std::string out(query);
  for (const std::string_view ours : {"token", "origin", "start", "count"}) {
    out = remove_param(out, ours);
  }
  return out;
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

// Bytes of the UTF-8 sequence at the front of `text`; 0 when there is none.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xC2 && first < 0xE0   ? 2U
                             : first >= 0xE0 && first < 0xF0 ? 3U
                             : first >= 0xF0 && first < 0xF5 ? 4U
                                                             : 0U;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
  }
  const unsigned second = byte(1);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool outside = (first == 0xED && second >= 0xA0) || (first == 0xF4 && second >= 0x90);
  return overlong || outside ? 0 : length;
}

}  // namespace

ApiPlan plan_api(Method method, std::string_view path, std::string_view query) {
  const bool read = method == Method::kGet || method == Method::kHead;
  if (path == kRoot.substr(0, kRoot.size() - 1)) path = kRoot;
  std::string normal;
  if (!path.starts_with(kRoot) || normalise_path(path, normal) != PathError::kNone) return {};
  const std::string_view rest = path.substr(kRoot.size());
  if (rest == "versions" || rest == "versions/") {
    ApiPlan plan;
    plan.kind = ApiKind::kVersions;
    return read ? plan : refuse(405, api_code::kBadMethod, "method not allowed here", "GET, HEAD");
  }
  ApiPlan plan;
  if (!plan_collection(rest, method, plan)) {
    plan.kind = ApiKind::kRows;
    plan.target = path;
  }
  const bool item = plan.kind == ApiKind::kItem || plan.kind == ApiKind::kRemove;
  if (!read && !(item && method == Method::kDelete)) {
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
  std::string passed = origin_query(query);
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

std::string to_valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      text.remove_prefix(1);
    } else {
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return out;
}

}  // namespace weir::http
