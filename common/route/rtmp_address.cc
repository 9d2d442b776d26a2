#include "common/route/rtmp_address.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

namespace weir::route {
namespace {

constexpr std::string_view kAround(" \t\r\n\0", 5);
constexpr std::string_view kInstance = "_definst_";
constexpr std::string_view kOldVhost = "...vhost...";

std::string_view trim(std::string_view text, std::string_view bytes) {
  const std::size_t from = text.find_first_not_of(bytes);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(bytes) - from + 1);
}

// Path and query; `#` begins a query too.
std::pair<std::string_view, std::string_view> split_query(std::string_view text) {
  const std::size_t at = std::min(text.find_first_of("?#"), text.size());
  return {text.substr(0, at), text.substr(std::min(at + 1, text.size()))};
}

std::string with_query(std::string path, std::string_view query) {
  if (!query.empty()) path.append("?").append(query);
  return path;
}

std::string expand_vhost(std::string_view text) {
  std::string out(trim(text, kAround));
  for (std::size_t at = 0; (at = out.find(kOldVhost, at)) != std::string::npos;) {
    out.replace(at, kOldVhost.size(), "?vhost=");
  }
  return out;
}

// The segments of a path without those that mean nothing.
std::vector<std::string_view> segments_of(std::string_view path) {
  std::vector<std::string_view> out;
  path = trim(path, "/");
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (path.substr(0, end) != kInstance) out.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return out;
}

std::string join(const std::vector<std::string_view>& segments) {
  std::string out;
  for (const std::string_view& segment : segments) {
    if (&segment != &segments.front()) out += '/';
    out += segment;
  }
  return out;
}

void append_escaped(std::string& out, char c) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += kHex[byte >> 4];
  out += kHex[byte & 15];
}

// A raw tab or another control byte in a path is the key's to refuse.
std::string encode_path(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (c == ' ') {
      append_escaped(out, c);
    } else {
      out += c;
    }
  }
  return out;
}

// The parameters of a query one after another; a second `?` separates like `&`.
bool next_parameter(std::string_view& query, std::string_view& name, std::string_view& value,
                    char& separator) {
  if (query.empty()) return false;
  const std::size_t end = std::min(query.find_first_of("&?"), query.size());
  separator = end < query.size() ? query[end] : '\0';
  const std::string_view whole = query.substr(0, end);
  const std::size_t equals = std::min(whole.find('='), whole.size());
  name = whole.substr(0, equals);
  value = whole.substr(equals);
  query.remove_prefix(std::min(end + 1, query.size()));
  return true;
}

bool names_vhost(std::string_view name, std::string_view value) {
  return value.size() > 1 && (name == "vhost" || name == "domain");
}

// The host in `=host:port/stream`.
std::string_view host_in(std::string_view value) {
  value = value.substr(1, value.find('/') - 1);
  return std::count(value.begin(), value.end(), ':') == 1 ? value.substr(0, value.find(':'))
                                                          : value;
}

enum class Slashes : std::uint8_t { kKeep, kEncode };

std::string encode_query(std::string_view query, Slashes slashes = Slashes::kKeep) {
  std::string out;
  std::string_view name;
  std::string_view value;
  char separator = '\0';
  while (next_parameter(query, name, value, separator)) {
    const bool vhost = names_vhost(name, value);
    std::string text(name);
    if (vhost) text += '=';
    text += vhost ? host_in(value) : value;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      const bool slash = c == '/' && slashes == Slashes::kEncode;
      if (slash || c == '#' || byte <= 0x20 || byte == 0x7F) {
        append_escaped(out, c);
      } else {
        out += c;
      }
    }
    if (separator != '\0') out += separator;
  }
  return out;
}

// What one address is made of, with the client's queries.
struct Pieces {
  std::string_view lead;  // of tcUrl: scheme and authority; empty: it is no URL
  std::string_view host;
  std::string_view tc_path;
  std::string_view tc_query;
  std::string_view app_path;
  std::string_view app_query;
  std::string_view name_path;
  std::string_view name_query;
};

Pieces take_apart(std::string_view tc_url, std::string_view app, std::string_view stream) {
  Pieces p;
  if (const std::size_t at = tc_url.find("://"); at != std::string_view::npos) {
    const std::size_t end = std::min(tc_url.find_first_of("/?#", at + 3), tc_url.size());
    p.lead = tc_url.substr(0, end);
    p.host = p.lead.substr(at + 3);
    std::tie(p.tc_path, p.tc_query) = split_query(tc_url.substr(end));
  }
  std::tie(p.app_path, p.app_query) = split_query(app);
  std::tie(p.name_path, p.name_query) = split_query(stream);
  return p;
}

struct Vhost {
  std::string_view name;     // empty: none was asked for
  bool only_in_app = false;  // where SRS does not look
};
// The vhosts that the queries name must be one. False: they are not.
bool find_vhost(const Pieces& p, Vhost& vhost) {
  const std::string_view queries[] = {p.tc_query, p.name_query, p.app_query};
  for (std::string_view query : queries) {
    const bool of_app = query.data() == p.app_query.data();
    std::string_view name;
    std::string_view value;
    char separator = '\0';
    while (next_parameter(query, name, value, separator)) {
      if (!names_vhost(name, value) || host_in(value).empty()) continue;
      if (vhost.name.empty()) vhost = {host_in(value), of_app};
      if (vhost.name != host_in(value)) return false;
    }
  }
  return true;
}

// Where a client gave no name it stands at the end of the app, or of the query of tcUrl.
void find_name(Pieces& p, std::vector<std::string_view>& app, std::vector<std::string_view>& name) {
  if (!name.empty()) return;
  if (app.size() >= 2) {
    name.push_back(app.back());
    app.pop_back();
    return;
  }
  const std::size_t slash = p.tc_query.find('/');
  if (slash == std::string_view::npos) return;
  const auto [path, query] = split_query(p.tc_query.substr(slash));
  name = segments_of(path);
  if (p.name_query.empty()) p.name_query = query;
  p.tc_query = p.tc_query.substr(0, slash);
  p.app_query = p.app_query.substr(0, p.app_query.find('/'));
}

bool has_bad_segment(const std::vector<std::string_view>& segments) {
  return std::any_of(segments.begin(), segments.end(), [](std::string_view text) {
    return text.empty() || text.starts_with(kInstance) || text.find(kOldVhost) != text.npos;
  });
}

RtmpAddress refused(KeyError error) {
  RtmpAddress address;
  address.key.error = error;
  return address;
}

// The query of tcUrl; the vhost is in it if it is only in the app's, where SRS does not look.
std::string plain_tc_query(const Pieces& p, const Vhost& vhost) {
  std::string query = encode_query(p.tc_query);
  if (!vhost.only_in_app) return query;
  if (!query.empty()) query += '&';
  return query.append(encode_query(std::string("vhost=").append(vhost.name)));
}

// tcUrl up to its path, as every origin reads it.
std::string plain_lead(const Pieces& p, const Vhost& vhost, const StreamKey& key) {
  if (p.lead.empty()) return std::string("rtmp://").append(kDefaultVhost);
  KeyParts host_only;
  host_only.host = p.host;
  host_only.app = "a";
  host_only.stream = "s";
  // SRS takes `vhost=__defaultVhost__` for none, and then the host.
  const bool hide_host = !vhost.name.empty() && key.vhost() == kDefaultVhost && !p.host.empty() &&
                         make_stream_key(host_only).vhost() != kDefaultVhost;
  std::string out(p.lead);
  if (hide_host) out.replace(out.size() - p.host.size(), p.host.size(), kDefaultVhost);
  return out;
}

// The client's own texts, where they say the same.
void keep_own_texts(std::string_view tc_url, std::string_view app, const std::string& app_path,
                    bool folders, RtmpAddress& address) {
  const Pieces own = take_apart(tc_url, app, {});
  // A lone `?` is a query to SRS.
  const bool query = tc_url.find('?') != std::string_view::npos;
  if (!own.lead.empty() && tc_url.find('#') == tc_url.npos && query == !own.tc_query.empty()) {
    std::string same(own.lead);
    // SRS drops slashes at the ends of a path, which before folders of the name is none.
    const std::string_view path = own.tc_path.substr(std::min<std::size_t>(own.tc_path.size(), 1));
    same.append("/").append(folders ? path : trim(path, "/"));
    if (with_query(std::move(same), own.tc_query) == address.tc_url) address.tc_url = tc_url;
  }
  if (tc_url.empty()) address.tc_url.clear();
  std::string_view path = app.substr(0, app.find('?'));
  if (path.ends_with('/')) path.remove_suffix(1);  // all origins take one for none
  const bool same_query = app.substr(std::min(app.find('?'), app.size())) ==
                          std::string_view(address.app).substr(app_path.size());
  if (app.empty() || (path == app_path && same_query)) address.app = app;
}

}  // namespace

RtmpAddress rtmp_address(std::string_view tc_url, std::string_view app, std::string_view stream) {
  const std::string tc_text = expand_vhost(tc_url);
  const std::string app_text = expand_vhost(app);
  Pieces p = take_apart(tc_text, app_text, trim(stream, kAround));
  std::vector<std::string_view> app_segments = segments_of(p.app_path);
  if (app_segments.empty()) app_segments = segments_of(p.tc_path);
  std::vector<std::string_view> name = segments_of(p.name_path);
  find_name(p, app_segments, name);
  if (has_bad_segment(app_segments) || has_bad_segment(name)) return refused(KeyError::kBadSegment);
  Vhost vhost;
  if (!find_vhost(p, vhost)) return refused(KeyError::kAmbiguous);
  if (app_segments.empty() && name.size() == 1) app_segments.push_back(kDefaultApp);

  const std::string app_path = encode_path(join(app_segments));
  const std::string name_path = encode_path(join(name));
  const std::string tc_query = plain_tc_query(p, vhost);
  RtmpAddress address;
  address.app = with_query(app_path, encode_query(p.app_query));
  address.stream = with_query(name_path, encode_query(p.name_query));
  KeyParts parts;
  parts.host = p.host;
  parts.app = address.app;
  parts.stream = address.stream;
  parts.query = tc_query;
  address.key = make_stream_key(parts);
  if (!address.key.ok()) return refused(address.key.error);

  // Behind a query in tcUrl SRS looks at the last segment of the name only.
  const bool fold = !tc_query.empty() && name.size() > 1;
  const std::size_t last = fold ? name_path.rfind('/') : 0;
  std::string tc_path = app_path;
  if (fold) tc_path.append(tc_path.empty() ? "" : "/").append(name_path, 0, last);
  address.tc_url = with_query(plain_lead(p, vhost, address.key) + "/" + tc_path, tc_query);
  address.stream_for_srs = with_query(name_path.substr(fold ? last + 1 : 0),
                                      encode_query(p.name_query, Slashes::kEncode));
  keep_own_texts(tc_url, app, app_path, name.size() > 1, address);
  return address;
}

}  // namespace weir::route
