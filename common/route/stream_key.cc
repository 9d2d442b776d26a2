#include "common/route/stream_key.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/control_byte.h"
#include "common/base/limits.h"
#include "common/route/rtmp_address.h"

namespace weir::route {
namespace {

constexpr std::array<std::string_view, 7> kMediaExtensions = {".flv", ".m3u8", ".ts", ".aac",
                                                              ".mp3", ".mp4",  ".mpd"};

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower_case(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Splits at the first `separator`; the second half is empty if there is none.
std::pair<std::string_view, std::string_view> split(std::string_view text, char separator) {
  const std::size_t at = text.find(separator);
  if (at == std::string_view::npos) return {text, {}};
  return {text.substr(0, at), text.substr(at + 1)};
}

std::string_view trim_slashes(std::string_view text) {
  while (text.starts_with('/')) text.remove_prefix(1);
  while (text.ends_with('/')) text.remove_suffix(1);
  return text;
}

// Decodes percent-escapes once and appends; a `%` that begins no escape stands for itself.
KeyError append_decoded(std::string_view text, std::string& out) {
  // Nothing to decode, and nothing to refuse.
  if (text.find('%') == std::string_view::npos && text.find('\t') == std::string_view::npos &&
      !has_control_byte(text) &&
      text.size() <= limits::kStreamKeyBytes - std::min(out.size(), limits::kStreamKeyBytes)) {
    out.append(text);
    return KeyError::kNone;
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
        hex_value(text[i + 2]) >= 0) {
      c = static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      if (c == '/') return KeyError::kBadEscape;
      i += 2;
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) return KeyError::kControlByte;
    if (out.size() >= limits::kStreamKeyBytes) return KeyError::kTooLong;
    out.push_back(c);
  }
  return KeyError::kNone;
}

KeyError append_segment(std::string_view segment, std::string& out) {
  const std::size_t start = out.size();
  const KeyError error = append_decoded(segment, out);
  if (error != KeyError::kNone) return error;
  const std::string_view decoded = std::string_view(out).substr(start);
  if (decoded.empty() || decoded == "." || decoded == "..") return KeyError::kBadSegment;
  return KeyError::kNone;
}

std::string_view strip_extension(std::string_view name) {
  for (const std::string_view extension : kMediaExtensions) {
    if (name.size() >= extension.size() &&
        same_ignoring_case(name.substr(name.size() - extension.size()), extension)) {
      name.remove_suffix(extension.size());
      break;
    }
  }
  return name;
}

// The value of vhost= or domain= in a query, empty if there is none.
std::string_view find_vhost(std::string_view query) {
  while (!query.empty()) {
    // A tcUrl's query may hold the stream's path after it, and a second `?` separates like `&`.
    const std::size_t end = std::min(query.find_first_of("&?"), query.size());
    const auto [name, value] = split(query.substr(0, end), '=');
    if (!value.empty() && (name == "vhost" || name == "domain")) return split(value, '/').first;
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return {};
}

// Without user, port and brackets. `is_address` is set for what only an IPv6 address can be.
std::string_view bare_host(std::string_view host, bool& is_address) {
  if (const std::size_t at = host.rfind('@'); at != std::string_view::npos) {
    host.remove_prefix(at + 1);
  }
  is_address = false;
  if (host.starts_with('[')) {
    is_address = host.find(']') != std::string_view::npos;
    return is_address ? host.substr(1, host.find(']') - 1) : host;
  }
  if (std::count(host.begin(), host.end(), ':') > 1) {
    is_address = true;
    return host;
  }
  host = split(host, ':').first;
  while (host.ends_with('.')) host.remove_suffix(1);
  return host;
}

using ByteSet = std::array<bool, 256>;
constexpr ByteSet set_of(std::string_view bytes) {
  ByteSet set{};
  for (const char c : bytes) set[static_cast<unsigned char>(c)] = true;
  return set;
}

bool only(std::string_view text, const ByteSet& allowed) {
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return allowed[static_cast<unsigned char>(c)]; });
}

enum class HostOrigin : std::uint8_t { kAddressed, kAsked };

// Appends the vhost of a host. kAsked: the client named the vhost, which may then lack a dot.
KeyError append_vhost(std::string_view text, HostOrigin origin, std::string& out) {
  static constexpr ByteSet kNameBytes = set_of("abcdefghijklmnopqrstuvwxyz0123456789.-_");
  static constexpr ByteSet kAddressBytes =
      set_of("abcdefghijklmnopqrstuvwxyz0123456789.-_:%");  // %zone
  static constexpr ByteSet kNumberBytes = set_of("0123456789.");
  std::string decoded;
  if (const KeyError error = append_decoded(text, decoded); error != KeyError::kNone) {
    return error == KeyError::kBadEscape ? KeyError::kBadHost : error;
  }
  bool is_address = false;
  const std::string host = lower_case(bare_host(decoded, is_address));
  if (!only(host, is_address ? kAddressBytes : kNameBytes)) {
    return KeyError::kBadHost;
  }
  const bool unnamed = is_address || only(host, kNumberBytes) ||
                       (origin == HostOrigin::kAddressed && host.find('.') == std::string::npos) ||
                       same_ignoring_case(host, kDefaultVhost);
  const std::string_view vhost = unnamed ? kDefaultVhost : std::string_view(host);
  if (vhost.size() > limits::kStreamKeyBytes) return KeyError::kTooLong;
  out.append(vhost);
  return KeyError::kNone;
}

StreamKey refused(KeyError error) {
  StreamKey key;
  key.error = error;
  return key;
}

KeyError append_path(std::string_view path, StreamKey& key) {
  while (!path.empty()) {
    const auto [segment, rest] = split(path, '/');
    // "a/" would lose its empty last segment in the split; trimming has removed it before.
    if (const KeyError error = append_segment(segment, key.text); error != KeyError::kNone) {
      return error;
    }
    key.text.push_back('/');
    path = rest;
  }
  return key.text.size() > limits::kStreamKeyBytes ? KeyError::kTooLong : KeyError::kNone;
}

// Appends a path of which nothing is escaped, and a slash after each segment.
KeyError append_names(std::string_view path, std::string& out) {
  if (has_control_byte(path) || path.find('\t') != std::string_view::npos) {
    return KeyError::kControlByte;
  }
  while (!path.empty()) {
    const auto [segment, rest] = split(path, '/');
    if (segment.empty() || segment == "." || segment == "..") return KeyError::kBadSegment;
    if (out.size() + segment.size() > limits::kStreamKeyBytes) return KeyError::kTooLong;
    out.append(segment).push_back('/');
    path = rest;
  }
  return KeyError::kNone;
}

}  // namespace

std::string_view to_string(KeyError error) {
  switch (error) {
    case KeyError::kNone:
      return "none";
    case KeyError::kEmptyApp:
      return "empty_app";
    case KeyError::kEmptyStream:
      return "empty_stream";
    case KeyError::kBadSegment:
      return "bad_segment";
    case KeyError::kControlByte:
      return "control_byte";
    case KeyError::kBadEscape:
      return "bad_escape";
    case KeyError::kBadHost:
      return "bad_host";
    case KeyError::kTooLong:
      return "too_long";
    case KeyError::kAmbiguous:
      return "ambiguous";
  }
  return "unknown";
}

StreamKey make_stream_key(const KeyParts& parts) {
  const auto [app_path, app_query] = split(parts.app, '?');
  const auto [stream_path, stream_query] = split(parts.stream, '?');
  std::string_view vhost = find_vhost(parts.query);
  if (vhost.empty()) vhost = find_vhost(stream_query);
  if (vhost.empty()) vhost = find_vhost(app_query);
  const HostOrigin origin = vhost.empty() ? HostOrigin::kAddressed : HostOrigin::kAsked;

  std::string_view stream = stream_path;
  while (stream.starts_with('/')) stream.remove_prefix(1);
  std::string_view folders;  // of the stream; they continue the app
  if (const std::size_t slash = stream.rfind('/'); slash != std::string_view::npos) {
    folders = stream.substr(0, slash);
    stream.remove_prefix(slash + 1);
  }
  if (parts.extension == Extension::kStrip) stream = strip_extension(stream);
  const std::string_view app = trim_slashes(app_path);
  if (stream.empty()) return refused(KeyError::kEmptyStream);
  if (app.empty() && folders.empty()) return refused(KeyError::kEmptyApp);
  if (folders.ends_with('/')) return refused(KeyError::kBadSegment);

  StreamKey key;
  KeyError error = append_vhost(vhost.empty() ? parts.host : vhost, origin, key.text);
  if (error != KeyError::kNone) return refused(error);
  key.text.push_back('/');
  key.app_at = static_cast<std::uint16_t>(key.text.size());
  error = append_path(app, key);
  if (error == KeyError::kNone) error = append_path(folders, key);
  key.stream_at = static_cast<std::uint16_t>(key.text.size());
  if (error == KeyError::kNone) error = append_segment(stream, key.text);
  return error == KeyError::kNone ? key : refused(error);
}

StreamKey parse_stream_key(std::string_view text) {
  const std::size_t first = text.find('/');
  const std::size_t last = text.rfind('/');
  if (text.size() > limits::kStreamKeyBytes) return refused(KeyError::kTooLong);
  if (first == 0) return refused(KeyError::kBadHost);
  if (first == last || last == first + 1) return refused(KeyError::kEmptyApp);
  if (last + 1 == text.size()) return refused(KeyError::kEmptyStream);
  StreamKey key;
  key.text = text;
  key.app_at = static_cast<std::uint16_t>(first + 1);
  key.stream_at = static_cast<std::uint16_t>(last + 1);
  return key;
}

StreamKey from_rtmp(std::string_view tc_url, std::string_view app, std::string_view stream) {
  return rtmp_address(tc_url, app, stream).key;
}

StreamKey from_http_path(std::string_view host, std::string_view path, std::string_view query) {
  KeyParts parts;
  parts.host = host;
  parts.stream = path;
  parts.query = query;
  parts.extension = Extension::kStrip;
  return make_stream_key(parts);
}

StreamKey from_names(std::string_view vhost, std::string_view app, std::string_view stream) {
  while (stream.starts_with('/')) stream.remove_prefix(1);
  app = trim_slashes(app);
  if (stream.empty() || stream.ends_with('/')) return refused(KeyError::kEmptyStream);
  const std::size_t slash = stream.rfind('/');
  const bool has_folders = slash != std::string_view::npos;
  if (app.empty() && !has_folders) return refused(KeyError::kEmptyApp);

  StreamKey key;
  if (vhost.empty()) {
    key.text = kDefaultVhost;
  } else {
    const bool is_escaped = vhost.find('%') != std::string_view::npos;
    const KeyError error =
        is_escaped ? KeyError::kBadHost : append_vhost(vhost, HostOrigin::kAsked, key.text);
    if (error != KeyError::kNone) return refused(error);
  }
  key.text.push_back('/');
  key.app_at = static_cast<std::uint16_t>(key.text.size());
  KeyError error = append_names(app, key.text);
  if (error == KeyError::kNone && has_folders) {
    error = append_names(stream.substr(0, slash), key.text);
    stream.remove_prefix(slash + 1);
  }
  key.stream_at = static_cast<std::uint16_t>(key.text.size());
  if (error == KeyError::kNone) error = append_names(stream, key.text);
  if (error != KeyError::kNone) return refused(error);
  key.text.pop_back();
  return key;
}

}  // namespace weir::route
