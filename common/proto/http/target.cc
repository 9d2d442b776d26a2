#include "common/proto/http/target.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/ascii.h"
#include "common/proto/http/fields.h"

namespace weir::http {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 39> kTypes = {{
    {".html", "text/html; charset=utf-8"},
    {".htm", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".txt", "text/plain; charset=utf-8"},
    {".md", "text/plain; charset=utf-8"},
    {".log", "text/plain; charset=utf-8"},
    {".xml", "application/xml"},
    {".pdf", "application/pdf"},
    {".wasm", "application/wasm"},
    {".zip", "application/zip"},
    {".gz", "application/gzip"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".jpeg", "image/jpeg"},
    {".gif", "image/gif"},
    {".svg", "image/svg+xml"},
    {".webp", "image/webp"},
    {".avif", "image/avif"},
    {".ico", "image/x-icon"},
    {".woff", "font/woff"},
    {".woff2", "font/woff2"},
    {".ttf", "font/ttf"},
    {".flv", "video/x-flv"},
    {".ts", "video/mp2t"},
    {".mp4", "video/mp4"},
    {".m4v", "video/mp4"},
    {".m4s", "video/iso.segment"},
    {".m4a", "audio/mp4"},
    {".webm", "video/webm"},
    {".aac", "audio/aac"},
    {".mp3", "audio/mpeg"},
    {".wav", "audio/wav"},
    {".vtt", "text/vtt; charset=utf-8"},
    {".m3u8", "application/vnd.apple.mpegurl"},
    {".mpd", "application/dash+xml"},
}};
static_assert(!kTypes.back().first.empty());

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7F;
}

bool same_name(std::string_view written, std::string_view name) {
  if (written.find('%') == std::string_view::npos) return written == name;
  std::string decoded;
  return percent_decode(written, decoded) && decoded == name;
}

}  // namespace

bool percent_decode(std::string_view text, std::string& out) {
  out.clear();
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (text.size() - i < 3) return false;
    const int high = hex_value(text[i + 1]);
    const int low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) return false;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return true;
}

void percent_encode(std::string_view text, std::string_view keep, std::string& out) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || std::string_view("-._~").find(c) != std::string_view::npos ||
        keep.find(c) != std::string_view::npos) {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out.append({'%', kHex[byte >> 4], kHex[byte & 15U]});
  }
}

std::string_view to_string(PathError error) {
  static constexpr std::array<std::string_view, 7> kNames = {
      "none",      "not-absolute",  "bad-escape", "control-byte",
      "backslash", "escaped-slash", "above-root"};
  return kNames[static_cast<std::size_t>(error)];
}

PathError normalise_path(std::string_view path, std::string& out) {
  out.clear();
  if (path.empty() || path.front() != '/') return PathError::kNotAbsolute;
  std::string segment;
  bool slash = false;  // whether the last segment ends with one
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::size_t end = std::min(path.find('/'), path.size());
    slash = end != path.size();
    const bool decoded = percent_decode(path.substr(0, end), segment);
    path.remove_prefix(end);
    if (!decoded) return PathError::kBadEscape;
    if (std::any_of(segment.begin(), segment.end(), is_control)) return PathError::kControlByte;
    if (segment.find('\\') != std::string::npos) return PathError::kBackslash;
    if (segment.find('/') != std::string::npos) return PathError::kEscapedSlash;
    if (segment == "..") return PathError::kAboveRoot;
    if (segment.empty() || segment == ".") continue;
    if (!out.empty() && out.back() != '/') out.push_back('/');
    out.append(segment);
    if (slash) out.push_back('/');
  }
  return PathError::kNone;
}

PathError append_canonical_segment(std::string_view segment, std::string& out) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  static constexpr std::string_view kPathMarks = "-._~!$&'()*+,;=:@";
  const auto* const odd = std::find_if(
      segment.begin(), segment.end(), [](char c) { return c == '%' || c == '/' || is_control(c); });
  // What is in that form already, most often all of it.
  std::size_t i = static_cast<std::size_t>(odd - segment.begin());
  out.append(segment.substr(0, i));
  for (; i < segment.size(); ++i) {
    char c = segment[i];
    bool escaped = false;
    if (c == '%') {
      const bool whole = segment.size() - i > 2 && hex_value(segment[i + 1]) >= 0 &&
                         hex_value(segment[i + 2]) >= 0;
      if (whole) {
        c = static_cast<char>(hex_value(segment[i + 1]) * 16 + hex_value(segment[i + 2]));
        i += 2;
      }
      escaped = true;
    }
    if (is_control(c)) return PathError::kControlByte;
    if (c == '/') return PathError::kEscapedSlash;
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!escaped || letter || kPathMarks.find(c) != std::string_view::npos) {
      out.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.append({'%', kHex[byte >> 4], kHex[byte & 15U]});
    }
  }
  return PathError::kNone;
}

PathError canonical_path(std::string_view path, std::string& out) {
  out.clear();
  if (path.empty() || path.front() != '/') return PathError::kNotAbsolute;
  out.reserve(path.size());
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::size_t from = out.size();
    out.push_back('/');
    const PathError error = append_canonical_segment(path.substr(0, end), out);
    if (error != PathError::kNone) return error;
    path.remove_prefix(end);
    const std::string_view segment = std::string_view(out).substr(from + 1);
    if (segment == "..") return PathError::kAboveRoot;
    // A last one that is empty or a dot names the directory: its slash stays.
    if (segment.empty() || segment == ".") out.resize(path.empty() ? from + 1 : from);
  }
  return PathError::kNone;
}

bool next_param(std::string_view& query, QueryParam& param) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    param.whole = query.substr(0, end);
    query.remove_prefix(std::min(query.size(), end + 1));
    if (param.whole.empty()) continue;
    const std::size_t equals = param.whole.find('=');
    param.name = param.whole.substr(0, equals);
    param.value =
        equals == std::string_view::npos ? std::string_view{} : param.whole.substr(equals + 1);
    return true;
  }
  return false;
}

std::optional<std::string_view> find_param(std::string_view query, std::string_view name) {
  QueryParam param;
  while (next_param(query, param)) {
    if (same_name(param.name, name)) return param.value;
  }
  return std::nullopt;
}

std::string remove_param(std::string_view query, std::string_view name) {
  std::string out;
  bool first = true;
  for (bool more = true; more;) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view whole = query.substr(0, end);
    more = end < query.size();
    query.remove_prefix(more ? end + 1 : end);
    if (!whole.empty() && same_name(whole.substr(0, whole.find('=')), name)) continue;
    if (!first) out.push_back('&');
    first = false;
    out.append(whole);
  }
  return out;
}

void append_param(std::string& query, std::string_view name, std::string_view value) {
  if (!query.empty() && query.back() != '&') query.push_back('&');
  query.append(name).append("=").append(value);
}

std::string_view path_extension(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? std::string_view{} : name.substr(dot);
}

std::string_view media_type(std::string_view path) {
  const std::string_view extension = path_extension(path);
  for (const auto& [known, type] : kTypes) {
    if (same_ignoring_case(extension, known)) return type;
  }
  return "application/octet-stream";
}

}  // namespace weir::http
