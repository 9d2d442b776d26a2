#include "workers/http/rtc_plan_session.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "common/base/ascii.h"
#include "common/base/bytes.h"
#include "common/proto/http/target.h"
#include "common/route/stream_key.h"
#include "workers/http/rtc_query_session.h"

namespace weir::http {
namespace {

constexpr std::string_view kSdp = "application/sdp";
constexpr std::string_view kFragment = "application/trickle-ice-sdpfrag";
constexpr std::string_view kJsonAllow = "POST, OPTIONS";
constexpr std::string_view kEndpointAllow = "POST, GET, HEAD, OPTIONS";
constexpr std::string_view kResourceAllow = "DELETE, PATCH, GET, HEAD, OPTIONS";
// Where both an offer and, for clients that have lost the hint, SRS's resources are at home.
constexpr std::string_view kWhipAllow = "POST, DELETE, PATCH, GET, HEAD, OPTIONS";
// What stands for itself in paths and queries, and in SRS's, which doesn't unescape. Separators of
// queries are not among them.
constexpr std::string_view kPlain = "/:@!$'()*+";
constexpr std::string_view kPathOnly = "=,&;";

struct FixedPath {
  std::string_view path;
  RtcApi api;
};
constexpr std::array<FixedPath, 6> kFixedPaths = {{{"/rtc/v1/whip", RtcApi::kWhip},
                                                   {"/rtc/v1/whip-play", RtcApi::kWhep},
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

// The key of what was named, which is what goes on. False: refused.
bool set_key(RtcPlan& plan, const route::StreamKey& named) {
  const route::StreamKey key = plan.aliases != nullptr ? plan.aliases->of_key(named) : named;
  plan.key = key.text;
  if (!key.ok()) refuse(plan, 400, route::to_string(key.error));
  return key.ok();
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

std::string with_query(std::string_view path, std::string_view query) {
  std::string target(path);
  if (!query.empty()) target.append("?").append(query);
  return target;
}

// The query without what this Weir has added.
std::string origin_query(std::string_view query) {
  return without_last_param(without_last_param(query, route::kHintParameter), kFlowParameter);
}

// The host without its port, which is what SRS takes for the vhost.
std::string_view name_of_host(std::string_view host) {
  return host.substr(0, host.starts_with('[') ? host.find(']') + 1 : host.find(':'));
}

// What to call the host of an origin that takes it for the vhost; empty: what the client wrote says
// the same.
std::string host_for(const route::StreamKey& key, std::string_view written, bool asked) {
  const bool same = name_of_host(written) == key.vhost();
  if (same || (!asked && key.vhost() == route::kDefaultVhost)) return {};
  return std::string(key.vhost());
}

// The key from the query or the path, and the request that can only mean it; a refusal when they
// name no stream.
void set_stream(RtcPlan& plan, const RequestHead& head, const RtcQuery& query, std::string_view app,
                std::string_view stream, std::string_view origin_path) {
  std::string vhost;
  if (!query.vhost.empty()) vhost = "vhost=" + query.vhost;
  const route::StreamKey key = route::make_stream_key({head.host, app, stream, vhost});
  if (!key.ok()) {
    refuse(plan, 400, route::to_string(key.error));
    return;
  }
  if (!set_key(plan, key)) return;
  plan.param = origin_query(head.query);
  plan.host = host_for(key, head.host, !query.vhost.empty());
  std::string rest;
  if (!query.vhost.empty()) {
    rest = "vhost=";
    percent_encode(key.vhost(), kPlain, rest);
    if (!query.rest.empty()) rest += '&';
  }
  rest += query.rest;
  plan.target = expand_origin_path(origin_path, key.vhost(), key.app(), key.stream(), rest);
}

// DELETE and PATCH; `plan` knows the origin by hint or by key.
void plan_change(RtcPlan& plan, const RequestHead& head) {
  plan.target = with_query(head.path, origin_query(head.query));
  plan.flow = last_param(head.query, kFlowParameter).value_or("");
  if (head.method == Method::kDelete) {
    plan.step = RtcStep::kRemove;
    return;
  }
  plan.step = RtcStep::kPatch;
  const std::string_view type = head.fields.get(HeaderId::kContentType);
  plan.sdp = has_media_type(type, kSdp);
  if (!plan.sdp && !has_media_type(type, kFragment)) {
    refuse(plan, 415, "the body of a PATCH is application/trickle-ice-sdpfrag");
  }
}

bool is_change(Method method) {
  return method == Method::kDelete || method == Method::kPatch;
}

bool is_look(Method method) {
  return method == Method::kGet || method == Method::kHead;
}

void plan_look(RtcPlan& plan, std::string_view allow) {
  plan.step = RtcStep::kEmpty;
  plan.allow = allow;
}

void plan_resource(RtcPlan& plan, const RequestHead& head) {
  if (head.method == Method::kOptions) {
    plan.step = RtcStep::kPreflight;
    plan.allow = kResourceAllow;
  } else if (is_look(head.method)) {
    plan_look(plan, kResourceAllow);
  } else if (is_change(head.method)) {
    plan_change(plan, head);
  } else {
    refuse(plan, 405, "a session takes DELETE and PATCH", kResourceAllow);
  }
}

// POST to WHIP or WHEP.
void plan_offer(RtcPlan& plan, const RequestHead& head) {
  plan.step = RtcStep::kOffer;
  if (!has_media_type(head.fields.get(HeaderId::kContentType), kSdp)) {
    refuse(plan, 415, "the body of an offer is application/sdp");
  } else if (!accepts(head.fields, kSdp)) {
    refuse(plan, 406, "the answer is application/sdp, which Accept does not name");
  }
}

void plan_json(RtcPlan& plan, const RequestHead& head) {
  if (head.method == Method::kOptions) {
    plan.step = RtcStep::kPreflight;
    plan.allow = kJsonAllow;
    return;
  }
  if (head.method != Method::kPost) {
    refuse(plan, 405, "method not allowed here", kJsonAllow);
    return;
  }
  plan.step = plan.api == RtcApi::kNack ? RtcStep::kNack : RtcStep::kOffer;
  const RtcQuery query = read_rtc_query(head.query, QueryOf::kRequest);
  if (!query.error.empty() || is_named_twice(head.query, "username")) {
    refuse(plan, 400, query.error.empty() ? "username is there twice" : query.error);
    return;
  }
  plan.target =
      with_query(std::string(head.path) + (head.path.ends_with('/') ? "" : "/"), query.rest);
  plan.eip = query.eip;
}

// SRS's whip plays with `action=play`. False: it is neither of the two.
bool read_action(RtcPlan& plan, std::string_view action) {
  if (action.empty() || plan.api != RtcApi::kWhip || action == "publish") return true;
  if (action != "play") return false;
  plan.api = RtcApi::kWhep;
  plan.publisher = false;
  return true;
}

// `rest`: the path behind /whip/ or /whep/; none: `app` and `stream` stand in the query.
void plan_endpoint(RtcPlan& plan, const RequestHead& head, const RtcPlanSettings& settings,
                   std::optional<std::string_view> rest) {
  const bool change = !rest && is_change(head.method);
  const bool options = head.method == Method::kOptions;
  const std::string_view allow = rest ? kEndpointAllow : kWhipAllow;
  if (is_look(head.method)) return plan_look(plan, allow);
  if (head.method != Method::kPost && !change && !options) {
    return refuse(plan, 405, "an offer is sent by POST", allow);
  }
  if (!change && !options) plan_offer(plan, head);
  if (plan.step == RtcStep::kRefused) return;
  const RtcQuery query = read_rtc_query(head.query, QueryOf::kRequest);
  if (!query.error.empty()) {
    refuse(plan, 400, query.error);
  } else if (!change && !read_action(plan, query.action)) {
    refuse(plan, 400, "action is neither publish nor play");
  } else {
    plan.eip = query.eip;
    const std::string_view path = plan.publisher ? settings.whip_path : settings.whep_path;
    set_stream(plan, head, query, rest ? "" : query.app, rest ? *rest : query.stream, path);
  }
  if (options) {  // needs no stream
    plan.step = RtcStep::kPreflight;
    plan.allow = allow;
  } else if (change && plan.step != RtcStep::kRefused) {
    plan_change(plan, head);
  }
}

// The host as SRS can only read it: a name, and a port of digits.
void append_host(std::string_view host, std::string& url) {
  host = host.substr(host.rfind('@') + 1);  // npos + 1 is 0
  const std::string_view name = name_of_host(host);
  std::string_view port = host.substr(name.size());
  url += name.empty() ? route::kDefaultVhost : name;
  if (port.starts_with(':')) port.remove_prefix(1);
  const bool digits =
      std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (digits && !port.empty() && port.size() <= 5) url.append(":").append(port);
}

// `webrtc://host/app/stream?query` with the query's slashes escaped: SRS looks for the stream
// behind the last one, and a second `?` or a `#` begins another query for it.
std::string canonical_stream_url(const route::StreamKey& key, std::string_view host,
                                 const RtcQuery& query) {
  const std::string keep = std::string(kPlain).append(kPathOnly);
  const std::string name = host_for(key, host, !query.vhost.empty());
  std::string sent;
  append_host(name.empty() ? host : name, sent);
  // A host with several colons is an address for Weir, and a name with a port for SRS.
  const bool same =
      sent == key.vhost() || route::make_stream_key({sent, "a", "s", ""}).vhost() == key.vhost();
  std::string url = "webrtc://";
  url += same ? std::string_view(sent) : key.vhost();
  for (const std::string_view part : {key.app(), key.stream()}) {
    url += '/';
    percent_encode(part, keep, url);
  }
  std::string rest = query.rest;
  if (!query.vhost.empty() && key.vhost() != route::kDefaultVhost) {
    rest.insert(0, "vhost=" + std::string(key.vhost()) + (rest.empty() ? "" : "&"));
  }
  if (!rest.empty()) url += '?';
  for (const char c : rest) {
    if (c > 0x20 && c < 0x7F && c != '/' && c != '?' && c != '#') {
      url += c;
    } else {
      percent_encode({&c, 1}, "", url);
    }
  }
  return url;
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
  plan.aliases = settings.aliases;
  const auto hint = route::parse_hint(last_param(head.query, route::kHintParameter).value_or(""));
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
      plan_json(plan, head);
    } else {
      plan_endpoint(plan, head, settings, std::nullopt);
    }
    return plan;
  }
  if (const auto rest = find_path_form(head.path, plan.api)) {
    plan.publisher = plan.api == RtcApi::kWhip;
    plan_endpoint(plan, head, settings, rest);
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

std::string plan_stream_url(RtcPlan& plan, std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) {
    refuse(plan, 400, "streamurl is no webrtc://host/app/stream");
    return {};
  }
  std::string_view rest = url.substr(scheme + 3);
  const std::size_t mark = std::min(rest.find('?'), rest.size());
  const RtcQuery query =
      read_rtc_query(rest.substr(std::min(mark + 1, rest.size())), QueryOf::kStreamUrl);
  rest = rest.substr(0, mark);
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view host = rest.substr(0, slash);
  const std::string_view path = rest.substr(std::min(slash + 1, rest.size()));
  std::string vhost;
  if (!query.vhost.empty()) vhost = "vhost=" + query.vhost;
  const route::StreamKey key = route::make_stream_key({host, "", path, vhost});
  // What SRS takes for ways of old RTMP clients to name a vhost, or no app.
  const bool rewritten = key.text.find("...vhost...") != std::string::npos ||
                         key.text.find("/_definst_") != std::string::npos;
  if (!key.ok() || !query.error.empty() || rewritten) {
    refuse(plan, 400,
           !key.ok()              ? route::to_string(key.error)
           : !query.error.empty() ? query.error
                                  : "streamurl can be read in two ways");
    return {};
  }
  if (!set_key(plan, key)) return {};
  plan.param = url.substr(std::min(scheme + 3 + mark + 1, url.size()));
  if (plan.eip.empty()) plan.eip = query.eip;
  return canonical_stream_url(key, host, query);
}

std::string expand_origin_path(std::string_view path, std::string_view key_vhost,
                               std::string_view key_app, std::string_view key_stream,
                               std::string_view client_query) {
  const std::size_t mark = std::min(path.find('?'), path.size());
  const auto expand = [&](std::string_view text, std::string_view keep) {
    std::string out;
    for (std::size_t from = 0; from < text.size();) {
      std::size_t at = 0;
      const std::string_view name = next_placeholder(text, from, at);
      out.append(text.substr(from, at - from));
      if (name == "[vhost]") percent_encode(key_vhost, keep, out);
      if (name == "[app]") percent_encode(key_app, keep, out);
      if (name == "[stream]") percent_encode(key_stream, keep, out);
      from = at + name.size();
    }
    return out;
  };
  std::string ours;
  std::string defaults;
  std::string rest(client_query);
  std::string_view own = path.substr(std::min(mark + 1, path.size()));
  QueryParam param;
  while (next_param(own, param)) {
    std::size_t at = 0;
    const bool named = !next_placeholder(param.whole, 0, at).empty();
    if (named) {
      rest = remove_param(rest, param.name);
    } else if (find_param(client_query, param.name)) {
      continue;
    }
    std::string& to = named ? ours : defaults;
    if (!to.empty()) to += '&';
    to += expand(param.whole, kPlain);
  }
  for (const std::string& part : {rest, defaults}) {
    if (!ours.empty() && !part.empty()) ours += '&';
    ours += part;
  }
  return with_query(expand(path.substr(0, mark), std::string(kPlain).append(kPathOnly)), ours);
}

namespace {

// Whether `range;q=0` refuses a media range.
bool has_weight_zero(std::string_view element) {
  const std::size_t at = element.find("q=");
  if (at == std::string_view::npos) return false;
  const std::string_view weight = trim(element.substr(at + 2));
  return weight.starts_with('0') && weight.find_first_not_of("0.") == std::string_view::npos;
}

bool is_dot(std::string_view segment) {
  return segment == "." || same_ignoring_case(segment, "%2e");
}

bool is_dot_dot(std::string_view segment) {
  for (const std::string_view form : {"..", ".%2e", "%2e.", "%2e%2e"}) {
    if (same_ignoring_case(segment, form)) return true;
  }
  return false;
}

// RFC 3986, section 5.2.4, on segments: `path` begins with a slash.
std::string remove_dot_segments(std::string_view path) {
  std::vector<std::string_view> kept;
  bool open = false;  // the last segment was one of dots: the path ends with a slash
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at + 1), path.size());
    const std::string_view segment = path.substr(at + 1, end - at - 1);
    open = is_dot(segment) || is_dot_dot(segment);
    if (!open) kept.push_back(segment);
    if (is_dot_dot(segment) && !kept.empty()) kept.pop_back();
    at = end;
  }
  std::string out;
  for (const std::string_view segment : kept) out.append("/").append(segment);
  return open || out.empty() ? out + "/" : out;
}

// What a field may hold, but no URL: escaped.
std::string only_ascii(std::string_view location) {
  std::string out;
  for (const char c : location) {
    if (c > 0x20 && c < 0x7F) {
      out += c;
    } else {
      percent_encode({&c, 1}, "", out);
    }
  }
  return out;
}

}  // namespace

std::string resolve_location(std::string_view written, std::string_view request_target) {
  const std::string plain = only_ascii(trim(written.substr(0, written.find('#'))));
  std::string_view location = plain;
  if (location.empty() || location.size() > 4096) return {};
  // The host that an origin calls itself by may be any of its names: what counts is who answered.
  const std::size_t scheme = location.find("://");
  if (scheme < location.find_first_of("/?") || location.starts_with("//")) {
    location.remove_prefix(location.starts_with("//") ? 2 : scheme + 3);
    location.remove_prefix(std::min(location.find_first_of("/?"), location.size()));
    request_target = "/";
  }
  const std::string_view asked = request_target.substr(0, request_target.find('?'));
  const std::size_t mark = std::min(location.find('?'), location.size());
  std::string path(location.substr(0, mark));
  if (path.empty()) {
    path = asked;
  } else if (!path.starts_with('/')) {
    path.insert(0, asked.substr(0, asked.rfind('/') + 1));
  }
  return remove_dot_segments(path).append(location.substr(mark));
}

// Below /api/ are kicks and reloads of the origin. Escapes, doubled slashes and dots are looked
// through, since the origin may do so.
bool is_resource_path(std::string_view path) {
  std::string plain;
  if (!path.starts_with('/') || !percent_decode(path, plain)) return false;
  const auto control = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F;
  };
  if (std::any_of(plain.begin(), plain.end(), control)) return false;
  std::string_view first;
  for (std::string_view left = plain; !left.empty();) {
    left.remove_prefix(1);
    const std::size_t end = std::min(left.find_first_of("/\\"), left.size());
    const std::string_view segment = left.substr(0, end);
    left.remove_prefix(end);
    if (segment == "..") return false;
    if (first.empty() && segment != ".") first = segment;
  }
  return !same_ignoring_case(first, "api");
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
  return same_ignoring_case(trim(field.substr(0, field.find(';'))), type);
}

bool accepts(const Fields& fields, std::string_view type) {
  const std::string any = std::string(type.substr(0, type.find('/'))) + "/*";
  const std::array<std::string_view, 3> ranges = {"*/*", any, type};
  bool asked = false;
  std::size_t best = 0;  // index + 1 of the most specific range that names it
  bool taken = false;
  for (const Field& field : fields) {
    if (field.id != HeaderId::kAccept) continue;
    std::string_view list = field.value;
    std::string_view element;
    while (next_element(list, element)) {
      asked = true;
      const auto range = std::find_if(ranges.begin(), ranges.end(), [&](std::string_view each) {
        return has_media_type(element, each);
      });
      const auto rank = static_cast<std::size_t>(range - ranges.begin()) + 1;
      if (range == ranges.end() || rank < best) continue;
      best = rank;
      taken = !has_weight_zero(element);
    }
  }
  return !asked || taken;
}

}  // namespace weir::http
