#include "common/proto/hls/pin_uri.h"

#include <algorithm>
#include <array>

#include "common/base/ascii.h"
#include "common/proto/http/target.h"

namespace weir::hls {
namespace {

constexpr std::size_t kCarriedParams = 64;        // bits of the mask in append_query
constexpr std::size_t kCarriedBytes = 16 * 1024;  // more than any request line we take
constexpr std::size_t kScopeBytes = 511;          // a longer directory cannot be in a stream key
constexpr std::string_view kSchemeHttp = "http";
constexpr std::string_view kSchemeHttps = "https";

constexpr bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
// Browsers take a backslash for a slash in http URLs.
constexpr std::string_view kSlashes = "/\\";
bool is_slash(char c) {
  return c == '/' || c == '\\';
}
// Length of the scheme before `:`, 0 if the reference has none (RFC 3986, 3.1).
std::size_t scheme_length(std::string_view uri) {
  if (uri.empty() || !is_alpha(uri[0])) return 0;
  for (std::size_t i = 1; i < uri.size(); ++i) {
    const char c = uri[i];
    if (c == ':') return i;
    if (!is_alpha(c) && !is_digit(c) && c != '+' && c != '-' && c != '.') return 0;
  }
  return 0;
}

struct HostPort {
  std::string_view host;
  std::string_view port;  // empty: none, or a default one
};
HostPort split_port(std::string_view authority, std::string_view scheme) {
  const std::size_t colon = authority.rfind(':');
  const std::size_t bracket = authority.rfind(']');
  if (colon == std::string_view::npos || (bracket != std::string_view::npos && colon < bracket)) {
    return {authority, {}};
  }
  std::string_view port = authority.substr(colon + 1);
  const bool is_default = (port == "80" && !same_ignoring_case(scheme, kSchemeHttps)) ||
                          (port == "443" && !same_ignoring_case(scheme, kSchemeHttp));
  if (is_default) port = {};
  return {authority.substr(0, colon), port};
}

// Bytes that are safe in a query, inside quotes of HLS and XML, and in a DASH template. `%` is one:
// what the client escaped stays escaped.
bool is_carriable(char c) {
  constexpr std::string_view kMarks = "-._~!*();:@/?%+=[]";
  return is_alpha(c) || is_digit(c) || kMarks.find(c) != std::string_view::npos;
}

constexpr std::array<bool, 256> make_name_chars() {
  std::array<bool, 256> table{};
  for (std::size_t c = 0; c < 128; ++c) {
    const char letter = static_cast<char>(c);
    table[c] = is_alpha(letter) || is_digit(letter) || letter == '-' || letter == '_' ||
               letter == '.' || letter == '~';
  }
  return table;
}
constexpr std::array<bool, 256> kNameChars = make_name_chars();

// One segment of a path and nothing else: no scheme, directory, query, fragment or template.
bool is_file_name(std::string_view uri) {
  if (uri.empty() || uri == "." || uri == "..") return false;
  return std::all_of(uri.begin(), uri.end(),
                     [](char c) { return kNameChars[static_cast<unsigned char>(c)]; });
}

void append_escaped(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (const char c : text) {
    if (is_carriable(c)) {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out.push_back('%');
    out.push_back(kHex[byte >> 4]);
    out.push_back(kHex[byte & 15]);
  }
}

std::string_view name_of(std::string_view param) {
  return param.substr(0, param.find('='));
}

// In the spelling that the request for what is below it will have when it is judged.
void set_first(std::string_view segment, UriBase& base) {
  base.first.clear();
  if (http::append_canonical_segment(segment, base.first) != http::PathError::kNone) {
    base.first = segment;
  }
}

// Follows `path` from `base`, directory by directory (RFC 3986, 5.2.4). The last segment is a file
// unless it is a dot segment.
void walk(std::string_view path, UriBase& base) {
  while (true) {
    const auto slash =
        static_cast<std::size_t>(std::find_if(path.begin(), path.end(), is_slash) - path.begin());
    const std::string_view segment = path.substr(0, slash);
    const bool last = slash == path.size();
    if (segment == "..") {
      if (base.depth > 0) --base.depth;
    } else if (segment != "." && !last) {
      if (base.depth == 0) set_first(segment.substr(0, kScopeBytes + 1), base);
      ++base.depth;
    }
    if (last) return;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

std::string_view to_string(RewriteStatus status) {
  switch (status) {
    case RewriteStatus::kOk:
      return "ok";
    case RewriteStatus::kNotAPlaylist:
      return "not a playlist";
    case RewriteStatus::kTooLarge:
      return "playlist too large";
    case RewriteStatus::kBadLine:
      return "malformed playlist line";
  }
  return "unknown";
}

UriPinner::UriPinner(const RewriteOptions& options, Markup markup)
    : options_(options), markup_(markup), separator_(markup == Markup::kXml ? "&amp;" : "&") {
  if (options.carry_query) parse_carried();
}

void UriPinner::parse_carried() {
  std::string_view rest = options_.query;
  std::size_t bytes = 0;
  while (!rest.empty() && carried_.size() < kCarriedParams) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view param = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::string_view name = name_of(param);
    if (name.empty() || name == options_.pin_name || name == "hls_ctx" ||
        name.starts_with("_HLS_")) {
      continue;
    }
    Carried carried;
    append_escaped(name, carried.name);
    append_escaped(param, carried.param);
    bytes += carried.param.size();
    if (bytes > kCarriedBytes) return;
    carried_.push_back(std::move(carried));
  }
}

UriBase UriPinner::document_base() const {
  UriBase base;
  std::string_view path = options_.path;
  if (path.starts_with('/')) path.remove_prefix(1);
  walk(path, base);
  return base;
}

bool UriPinner::is_ours(std::string_view authority, std::string_view scheme) const {
  if (authority.find('@') != std::string_view::npos) return false;
  const HostPort theirs = split_port(authority, scheme);
  if (theirs.host.empty()) return false;
  return std::any_of(
      options_.authorities.begin(), options_.authorities.end(), [&](std::string_view known) {
        const HostPort ours = split_port(known, scheme);
        return ours.port == theirs.port && same_ignoring_case(ours.host, theirs.host);
      });
}

UriPinner::Target UriPinner::classify(std::string_view uri) const {
  Target target;
  std::size_t hash = uri.find('#');
  // In XML a `#` after `&` is part of a character reference.
  while (markup_ == Markup::kXml && hash != std::string_view::npos && hash > 0 &&
         uri[hash - 1] == '&') {
    hash = uri.find('#', hash + 1);
  }
  if (hash != std::string_view::npos) {
    target.fragment = uri.substr(hash);
    uri = uri.substr(0, hash);
  }
  if (uri.empty()) return target;
  const std::size_t mark = uri.find('?');
  if (mark != std::string_view::npos) {
    target.has_query = true;
    target.query = uri.substr(mark + 1);
    uri = uri.substr(0, mark);
  }

  const std::size_t colon = scheme_length(uri);
  const std::string_view scheme = uri.substr(0, colon);
  if (colon > 0) {
    if (!same_ignoring_case(scheme, kSchemeHttp) && !same_ignoring_case(scheme, kSchemeHttps)) {
      return target;
    }
    uri.remove_prefix(colon + 1);
  }
  const bool network = uri.size() >= 2 && is_slash(uri[0]) && is_slash(uri[1]);
  if (colon > 0 && !network) return target;
  if (network) {
    uri.remove_prefix(2);
    const std::size_t end = std::min(uri.find_first_of(kSlashes), uri.size());
    if (!is_ours(uri.substr(0, end), scheme)) return target;
    uri.remove_prefix(end);
    target.relocated = true;
  }
  target.ours = true;
  target.unknown = markup_ == Markup::kPlain && uri.find("{$") != std::string_view::npos;
  target.path = uri;
  target.absolute_path = target.relocated || (!uri.empty() && is_slash(uri[0]));
  return target;
}

UriBase UriPinner::resolve(const UriBase& base, const Target& target) {
  UriBase result;
  std::string_view path = target.path;
  if (!target.absolute_path) result = base;
  if (!path.empty() && is_slash(path[0])) path.remove_prefix(1);
  walk(path, result);
  return result;
}

UriBase UriPinner::resolve_base(const UriBase& base, std::string_view uri) const {
  if (uri.empty()) return base;
  const Target target = classify(uri);
  if (target.ours) return resolve(base, target);
  UriBase foreign;
  foreign.foreign = true;
  return foreign;
}

std::string_view UriPinner::scope_of(const UriBase& place) {
  return place.depth == 0 ? std::string_view() : std::string_view(place.first);
}

const std::string& UriPinner::pin_of(const UriBase& place) {
  const std::string_view scope = scope_of(place);
  const bool is_template = markup_ == Markup::kXml && scope.find('$') != std::string_view::npos;
  if (scope.size() > kScopeBytes || is_template || !options_.pin_for) return no_pin_;
  if (!have_pin_ || scope != pin_scope_) {
    pin_ = options_.pin_for(scope);
    pin_scope_ = scope;
    have_pin_ = true;
  }
  return pin_;
}

std::size_t UriPinner::find_separator(std::string_view query, std::size_t from,
                                      std::size_t& length) const {
  for (std::size_t at = query.find('&', from); at != std::string_view::npos;
       at = query.find('&', at + 1)) {
    length = 1;
    if (markup_ == Markup::kPlain) return at;
    for (const std::string_view spelling : {"&amp;", "&#38;", "&#x26;"}) {
      length = spelling.size();
      if (query.substr(at).starts_with(spelling)) return at;
    }
  }
  length = 0;
  return query.size();
}

// Whatever is there stays as it is.
void UriPinner::append_query(const Target& target, const std::string& pin, std::string& out) {
  std::uint64_t missing = carried_.size() == kCarriedParams
                              ? ~std::uint64_t{0}
                              : (std::uint64_t{1} << carried_.size()) - 1;
  bool any = false;
  bool last_empty = false;
  std::string_view mark = "?";
  const auto put = [&](std::string_view before, std::string_view param) {
    out.append(any ? before : "?").append(param);
    any = true;
  };
  for (std::size_t at = 0; target.has_query;) {
    std::size_t length = 0;
    const std::size_t end = find_separator(target.query, at, length);
    const std::string_view param = target.query.substr(at, end - at);
    put(mark, param);
    last_empty = param.empty();
    for (std::size_t i = 0; i < carried_.size(); ++i) {
      if (carried_[i].name == name_of(param)) missing &= ~(std::uint64_t{1} << i);
    }
    if (length == 0) break;
    mark = target.query.substr(end, length);
    at = end + length;
  }
  const auto add = [&](std::string_view param) {
    put(last_empty ? std::string_view() : separator_, param);
    last_empty = false;
  };
  for (std::size_t i = 0; i < carried_.size(); ++i) {
    if ((missing >> i) & 1) add(carried_[i].param);
  }
  if (!options_.companion.empty()) add(options_.companion);
  if (pin.empty()) return;
  add(options_.pin_name);
  out.append("=").append(pin);
}

const std::string& UriPinner::suffix_of(const UriBase& base) {
  const std::string_view scope = scope_of(base);
  if (!have_suffix_ || scope != suffix_scope_) {
    suffix_.clear();
    append_query({}, pin_of(base), suffix_);
    suffix_scope_ = scope;
    have_suffix_ = true;
  }
  return suffix_;
}

void UriPinner::append(std::string_view uri, const UriBase& base, Pin pin, std::string& out) {
  // Nearly all are names of files beside the playlist, and all of those get the same query.
  if (pin == Pin::kAdd && !base.foreign && is_file_name(uri)) {
    out.append(uri).append(suffix_of(base));
    return;
  }
  const Target target = classify(uri);
  if (!target.ours || (base.foreign && !target.relocated)) {
    out.append(uri);
    return;
  }
  if (target.relocated) {
    // Two slashes at the start would name another host.
    if (target.path.empty() || !is_slash(target.path[0])) out.push_back('/');
    if (target.path.size() >= 2 && is_slash(target.path[1])) out.append("/.");
  }
  out.append(target.path);
  if (pin == Pin::kAdd) {
    append_query(target, pin_of(target.unknown ? base : resolve(base, target)), out);
  } else if (target.has_query) {
    out.append("?").append(target.query);
  }
  out.append(target.fragment);
}

}  // namespace weir::hls
