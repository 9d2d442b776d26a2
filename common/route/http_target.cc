#include "common/route/http_target.h"

#include <algorithm>
#include <array>

#include "common/base/ascii.h"
#include "common/proto/http/fields.h"
#include "common/proto/http/target.h"
#include "common/route/query_reading.h"

namespace weir::route {
namespace {

constexpr std::array<std::string_view, 2> kVhostNames = {"vhost", "domain"};
constexpr std::array<std::string_view, 2> kStreamNames = {"app", "stream"};
constexpr std::array<std::string_view, 4> kAllNames = {"vhost", "domain", "app", "stream"};
// Bytes of a name that stand for themselves in a query, whoever parts it.
constexpr std::string_view kPlain = "/:@!$'()*";

// The parameters that name a stream, and everything else as it was written.
struct Named {
  std::string vhost, app, stream;  // unescaped
  std::string rest;
  bool unclear = false;  // one of them has two values, or one that others would part
};

bool is_any(std::string_view written, const std::array<std::string_view, 2>& names) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view name) { return is_param_name(written, name); });
}

void take(std::string_view value, std::string& to, bool& unclear) {
  std::string decoded;
  if (!http::percent_decode(value, decoded)) decoded = value;
  if (decoded.empty()) return;  // as if it were not there
  const bool parted = decoded.find_first_of("=,;&?%+") != std::string::npos;
  unclear = unclear || parted || (!to.empty() && to != decoded);
  to = std::move(decoded);
}

Named read_names(std::string_view query, bool with_stream) {
  Named out;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find_first_of("&?"), query.size());
    const std::string_view whole = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t equals = std::min(whole.find('='), whole.size());
    const std::string_view name = whole.substr(0, equals);
    const std::string_view value = whole.substr(std::min(equals + 1, whole.size()));
    if (is_any(name, kVhostNames)) {
      take(value, out.vhost, out.unclear);
    } else if (with_stream && is_any(name, kStreamNames)) {
      take(value, is_param_name(name, "app") ? out.app : out.stream, out.unclear);
    } else if (!whole.empty()) {
      out.rest.append(out.rest.empty() ? "" : "&").append(whole);
    }
  }
  out.vhost.resize(std::min(out.vhost.find('/'), out.vhost.size()));
  return out;
}

void append(std::string_view name, std::string_view value, std::string& query) {
  if (value.empty()) return;
  std::string encoded;
  http::percent_encode(value, kPlain, encoded);
  http::append_param(query, name, encoded);
}

// A vhost without the port and what else the key leaves out, since origins compare all of it; upper
// case stays.
std::string_view as_in_key(std::string_view vhost, const StreamKey& key) {
  if (vhost.empty() || !key.ok()) return vhost;
  if (key.vhost() == kDefaultVhost) return kDefaultVhost;
  const auto found = std::search(vhost.begin(), vhost.end(), key.vhost().begin(), key.vhost().end(),
                                 [](char a, char b) { return lower_case(a) == lower_case(b); });
  return found == vhost.end()
             ? vhost
             : vhost.substr(static_cast<std::size_t>(found - vhost.begin()), key.vhost().size());
}

// `app` and `stream` of the query as the parts of a key.
StreamKey key_of_names(std::string_view host, const Named& named) {
  std::string app, stream;  // they are unescaped once more
  http::percent_encode(named.app, kPlain, app);
  http::percent_encode(named.stream, kPlain, stream);
  const std::string vhost = named.vhost.empty() ? "" : "vhost=" + named.vhost;
  return make_stream_key({host, app, stream, vhost, Extension::kKeep});
}

}  // namespace

std::string canonical_host(std::string_view host) {
  std::string out = lower_case(host);
  if (out.starts_with('[')) return out;
  const std::size_t colon = std::min(out.find(':'), out.size());
  std::size_t end = colon;
  while (end > 1 && out[end - 1] == '.') --end;
  return out.erase(end, colon - end);
}

HttpTarget read_http_target(std::string_view host, std::string_view path, std::string_view query) {
  HttpTarget out;
  if (const auto error = http::canonical_path(path, out.path); error != http::PathError::kNone) {
    out.error = http::to_string(error);
    return out;
  }
  if (query.empty() || !query_names_any(query, kAllNames)) {
    out.query = query;
    out.key = from_http_path(host, out.path, {});
    return out;
  }
  const bool bare = http::path_extension(out.path).empty();
  const bool names_stream = query_names_any(query, kStreamNames);
  Named named = read_names(query, bare);
  // One alone says nothing to anybody.
  out.by_query = bare && !named.app.empty() && !named.stream.empty();
  if (bare && !out.by_query) named = read_names(query, false);
  const std::string vhost = named.vhost.empty() ? "" : "vhost=" + named.vhost;
  out.key = out.by_query ? key_of_names(host, named) : from_http_path(host, out.path, vhost);
  append("vhost", as_in_key(named.vhost, out.key), out.query);
  if (out.by_query) {
    append("app", named.app, out.query);
    append("stream", named.stream, out.query);
  }
  const bool hidden = query_names_any(named.rest, kVhostNames) ||
                      (out.by_query && query_names_any(named.rest, kStreamNames));
  if (!named.rest.empty()) out.query.append(out.query.empty() ? "" : "&").append(named.rest);
  if (named.unclear || hidden) out.error = "the query names a stream in two ways";
  if (!out.by_query && names_stream && out.error.empty()) {
    // A file of that path, or a live stream of that name: who reads both must find one stream.
    const Named also = read_names(query, true);
    const bool both = !also.app.empty() && !also.stream.empty();
    if (also.unclear || (both && key_of_names(host, also).text != out.key.text)) {
      out.error = "path and query name two streams";
    }
  }
  return out;
}

}  // namespace weir::route
