#include "workers/http/rtc_plan_session.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/base/bytes.h"
#include "common/proto/http/target.h"
#include "common/route/stream_key.h"

namespace weir::http {
namespace {

constexpr std::string_view kSdp = "application/sdp";
constexpr std::string_view kFragment = "application/trickle-ice-sdpfrag";
constexpr std::string_view kEndpointAllow = "POST, OPTIONS";
constexpr std::string_view kResourceAllow = "DELETE, PATCH, OPTIONS";
// Where both an offer and, for clients that have lost the hint, SRS's resources are at home.
constexpr std::string_view kWhipAllow = "POST, DELETE, PATCH, OPTIONS";

struct FixedPath {
  std::string_view path;
  RtcApi api;
};
constexpr std::array<FixedPath, 5> kFixedPaths = {{{"/rtc/v1/whip", RtcApi::kWhip},
                                                   {"/rtc/v1/whep", RtcApi::kWhep},
                                                   {"/rtc/v1/publish", RtcApi::kPublish},
                                                   {"/rtc/v1/play", RtcApi::kPlay},
                                                   {"/rtc/v1/nack", RtcApi::kNack}}};

void refuse(RtcPlan& plan, int status, std::string_view error, std::string_view allow = {}) {
  plan.step = RtcStep::kRefused;
  plan.status = status;
  plan.error = error;
  plan.allow = allow;
}

// `/rtc/v1/whip` and `/rtc/v1/whip/`.
const FixedPath* find_fixed(std::string_view path) {
  if (path.ends_with('/')) path.remove_suffix(1);
  const auto found = std::find_if(kFixedPaths.begin(), kFixedPaths.end(),
                                  [&](const FixedPath& fixed) { return fixed.path == path; });
  return found == kFixedPaths.end() ? nullptr : &*found;
}

// `/whip/app/stream`: what stands behind the first segment.
std::optional<std::string_view> find_path_form(std::string_view path, RtcApi& api) {
  for (const FixedPath& form : {FixedPath{"/whip/", RtcApi::kWhip}, {"/whep/", RtcApi::kWhep}}) {
    if (!path.starts_with(form.path)) continue;
    api = form.api;
    return path.substr(form.path.size());
  }
  return std::nullopt;
}

std::string hint_scope_of(std::string_view path) {
  return "webrtc resource " + std::string(path);
}

// Paths that a hint may lead to.
bool is_resource_path(std::string_view path) {
  std::string normal;
  return normalise_path(path, normal) == PathError::kNone && !normal.starts_with("api/") &&
         normal != "api";
}

std::string with_query(std::string_view path, std::string_view query) {
  std::string target(path);
  if (!query.empty()) target.append("?").append(query);
  return target;
}

// A parameter's value as part of a path: forms escape the slashes of nested apps.
std::string path_of_param(std::string_view query, std::string_view name) {
  std::string value(find_param(query, name).value_or(""));
  for (const std::string_view slash : {"%2F", "%2f"}) {
    for (std::size_t at = 0; (at = value.find(slash, at)) != std::string::npos;) {
      value.replace(at, slash.size(), "/");
    }
  }
  return value;
}

// The query without what is for us.
std::string origin_query(std::string_view query) {
  const std::string rest = route::query_without_hint(query);
  return find_param(rest, kFlowParameter) ? remove_param(rest, kFlowParameter) : rest;
}

// The key from `app` and `stream`; a refusal when they name no stream.
void set_stream(RtcPlan& plan, const RequestHead& head, std::string_view app,
                std::string_view stream, std::string_view origin_path) {
  const std::string query = origin_query(head.query);
  const route::StreamKey key = route::make_stream_key({head.host, app, stream, query});
  if (!key.ok()) {
    refuse(plan, 400, route::to_string(key.error));
    return;
  }
  plan.key = key.text;
  plan.param = query;
  plan.target = expand_origin_path(origin_path, key.vhost(), key.app(), key.stream(), query);
}

void set_eip(RtcPlan& plan, std::string_view query) {
  const auto eip = find_param(query, "eip");
  std::string decoded;
  if (eip && percent_decode(*eip, decoded) && !decoded.empty()) plan.eip = decoded;
}

// DELETE and PATCH; `plan` knows the origin by hint or by key.
void plan_change(RtcPlan& plan, const RequestHead& head) {
  plan.target = with_query(head.path, origin_query(head.query));
  plan.flow = find_param(head.query, kFlowParameter).value_or("");
  if (head.method == Method::kDelete) {
    plan.step = RtcStep::kRemove;
    return;
  }
  plan.step = RtcStep::kPatch;
  if (!has_media_type(head.fields.get(HeaderId::kContentType), kFragment)) {
    refuse(plan, 415, "the body of a PATCH is application/trickle-ice-sdpfrag");
  }
}

bool is_change(Method method) {
  return method == Method::kDelete || method == Method::kPatch;
}

void plan_resource(RtcPlan& plan, const RequestHead& head) {
  if (head.method == Method::kOptions) {
    plan.step = RtcStep::kPreflight;
    plan.allow = kResourceAllow;
  } else if (is_change(head.method)) {
    plan_change(plan, head);
  } else {
    refuse(plan, 405, "a session takes DELETE and PATCH", kResourceAllow);
  }
}

// POST to WHIP or WHEP.
void plan_offer(RtcPlan& plan, const RequestHead& head) {
  plan.step = RtcStep::kOffer;
  set_eip(plan, head.query);
  if (!has_media_type(head.fields.get(HeaderId::kContentType), kSdp)) {
    refuse(plan, 415, "the body of an offer is application/sdp");
  }
}

void plan_srs(RtcPlan& plan, const RequestHead& head) {
  if (head.method == Method::kOptions) {
    plan.step = RtcStep::kPreflight;
    plan.allow = kEndpointAllow;
  } else if (head.method != Method::kPost) {
    refuse(plan, 405, "method not allowed here", kEndpointAllow);
  } else {
    plan.step = plan.api == RtcApi::kNack ? RtcStep::kNack : RtcStep::kOffer;
    plan.target = with_query(head.path, origin_query(head.query));
    set_eip(plan, head.query);
  }
}

void plan_endpoint(RtcPlan& plan, const RequestHead& head, const RtcPlanSettings& settings,
                   bool fixed, std::string_view rest) {
  const bool change = fixed && is_change(head.method);
  const std::string_view allow = fixed ? kWhipAllow : kEndpointAllow;
  if (head.method == Method::kOptions) {
    plan.step = RtcStep::kPreflight;
    plan.allow = allow;
    return;
  }
  if (head.method != Method::kPost && !change) {
    refuse(plan, 405, "an offer is sent by POST", allow);
    return;
  }
  if (!change) {
    plan_offer(plan, head);
    if (plan.step == RtcStep::kRefused) return;
  }
  const std::string_view path = plan.publisher ? settings.whip_path : settings.whep_path;
  if (fixed) {
    set_stream(plan, head, path_of_param(head.query, "app"), path_of_param(head.query, "stream"),
               path);
  } else {
    set_stream(plan, head, "", rest, path);
  }
  if (change && plan.step != RtcStep::kRefused) plan_change(plan, head);
}

std::string_view next_placeholder(std::string_view path, std::size_t from, std::size_t& at) {
  static constexpr std::array<std::string_view, 3> kNames = {"[vhost]", "[app]", "[stream]"};
  at = path.size();
  std::string_view found;
  for (const std::string_view name : kNames) {
    const std::size_t here = path.find(name, from);
    if (here < at) {
      at = here;
      found = name;
    }
  }
  return found;
}

}  // namespace

std::string_view to_string(RtcApi api) {
  switch (api) {
    case RtcApi::kWhip:
      return "whip";
    case RtcApi::kWhep:
      return "whep";
    case RtcApi::kPublish:
      return "srs_publish";
    case RtcApi::kPlay:
      return "srs_play";
    case RtcApi::kNack:
      return "srs_nack";
  }
  return "";
}

RtcPlan plan_rtc(const RequestHead& head, const RtcPlanSettings& settings) {
  RtcPlan plan;
  const auto hint = route::parse_hint(route::hint_in_query(head.query));
  if (hint && is_resource_path(head.path) &&
      route::verify_hint(settings.hint_key, *hint, hint_scope_of(head.path))) {
    plan.origin = hint->fingerprint;
    plan_resource(plan, head);
    return plan;
  }
  if (const FixedPath* fixed = find_fixed(head.path)) {
    plan.api = fixed->api;
    plan.publisher = plan.api == RtcApi::kWhip || plan.api == RtcApi::kPublish;
    if (is_json(plan.api)) {
      plan_srs(plan, head);
    } else {
      plan_endpoint(plan, head, settings, true, {});
    }
    return plan;
  }
  if (const auto rest = find_path_form(head.path, plan.api)) {
    plan.publisher = plan.api == RtcApi::kWhip;
    plan_endpoint(plan, head, settings, false, *rest);
    return plan;
  }
  // With a hint that is not ours, or a path of nobody's.
  if (hint && is_change(head.method) && is_resource_path(head.path)) {
    refuse(plan, 404, "there is no such session");
  } else if (head.path.starts_with("/rtc/")) {
    refuse(plan, 404, "there is nothing at this path");
  }
  return plan;
}

void plan_stream_url(RtcPlan& plan, std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) {
    refuse(plan, 400, "streamurl is no webrtc://host/app/stream");
    return;
  }
  std::string_view rest = url.substr(scheme + 3);
  const std::size_t mark = std::min(rest.find('?'), rest.size());
  const std::string_view query = rest.substr(std::min(mark + 1, rest.size()));
  rest = rest.substr(0, mark);
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view path = rest.substr(std::min(slash + 1, rest.size()));
  const route::StreamKey key = route::make_stream_key({rest.substr(0, slash), "", path, query});
  if (!key.ok()) {
    refuse(plan, 400, route::to_string(key.error));
    return;
  }
  plan.key = key.text;
  plan.param = query;
  if (plan.eip.empty()) set_eip(plan, query);
}

std::string expand_origin_path(std::string_view path, std::string_view key_vhost,
                               std::string_view key_app, std::string_view key_stream,
                               std::string_view client_query) {
  std::string all;
  std::size_t from = 0;
  while (from < path.size()) {
    std::size_t at = 0;
    const std::string_view name = next_placeholder(path, from, at);
    all.append(path.substr(from, at - from));
    if (name == "[vhost]") percent_encode(key_vhost, "/", all);
    if (name == "[app]") percent_encode(key_app, "/", all);
    if (name == "[stream]") percent_encode(key_stream, "/", all);
    from = at + name.size();
  }
  const std::string_view expanded = all;
  const std::size_t mark = std::min(expanded.find('?'), expanded.size());
  std::string query(client_query);
  std::string_view own = expanded.substr(std::min(mark + 1, expanded.size()));
  QueryParam param;
  while (next_param(own, param)) {
    if (find_param(client_query, param.name)) continue;
    if (!query.empty()) query += '&';
    query.append(param.whole);
  }
  return with_query(expanded.substr(0, mark), query);
}

std::string resolve_location(std::string_view location, std::string_view request_target) {
  location = location.substr(0, location.find('#'));
  if (location.empty() || location.size() > 4096 ||
      !std::all_of(location.begin(), location.end(), [](char c) { return c > 0x20 && c < 0x7F; })) {
    return {};
  }
  // The host that an origin calls itself by may be any of its names: what counts is who answered.
  const std::size_t scheme = location.find("://");
  if (scheme < location.find_first_of("/?") || location.starts_with("//")) {
    location.remove_prefix(location.starts_with("//") ? 2 : scheme + 3);
    location.remove_prefix(std::min(location.find_first_of("/?"), location.size()));
    request_target = "/";
  }
  std::string target(location);
  if (!location.starts_with('/')) {
    const std::string_view asked = request_target.substr(0, request_target.find('?'));
    target = location.starts_with('?') ? std::string(asked)
                                       : std::string(asked.substr(0, asked.rfind('/') + 1));
    target += location;
  }
  return is_resource_path(std::string_view(target).substr(0, target.find('?'))) ? target : "";
}

std::string public_location(std::string_view base, std::string_view target,
                            const route::HintKey& key, std::uint64_t fingerprint,
                            std::string_view flow_name) {
  const std::string_view path = target.substr(0, target.find('?'));
  std::string out(base);
  out.append(target).append(path.size() == target.size() ? "?" : "&");
  out.append(route::kHintParameter).append("=");
  out.append(route::make_hint(key, fingerprint, hint_scope_of(path)));
  if (!flow_name.empty()) out.append("&").append(kFlowParameter).append("=").append(flow_name);
  return out;
}

std::string print_flow_name(const FlowName& name) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<std::uint8_t, 24> bytes{};
  store_be32(bytes.data(), name.slot);
  store_be32(bytes.data() + 4, name.generation);
  std::copy(name.token.begin(), name.token.end(), bytes.begin() + 8);
  std::string out;
  for (const std::uint8_t byte : bytes) {
    out.push_back(kDigits[byte >> 4U]);
    out.push_back(kDigits[byte & 15U]);
  }
  return out;
}

std::optional<FlowName> parse_flow_name(std::string_view text) {
  std::array<std::uint8_t, 24> bytes{};
  if (text.size() != 2 * bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char* const begin = text.data() + 2 * i;
    const auto [end, error] = std::from_chars(begin, begin + 2, bytes[i], 16);
    if (error != std::errc() || end != begin + 2) return std::nullopt;
  }
  FlowName name;
  name.slot = load_be32(bytes.data());
  name.generation = load_be32(bytes.data() + 4);
  std::copy(bytes.begin() + 8, bytes.end(), name.token.begin());
  return name;
}

std::string_view public_prefix(std::string_view field) {
  while (field.ends_with('/')) field.remove_suffix(1);
  std::string normal;
  const bool sound = field.starts_with('/') && !field.starts_with("//") && field.size() <= 255 &&
                     field.find_first_of("?#\"<> \t,") == std::string_view::npos &&
                     normalise_path(field, normal) == PathError::kNone;
  return sound ? field : std::string_view();
}

bool has_media_type(std::string_view field, std::string_view type) {
  return equal_ignoring_case(trim(field.substr(0, field.find(';'))), type);
}

}  // namespace weir::http
