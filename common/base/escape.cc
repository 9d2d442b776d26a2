#include "common/base/escape.h"

#include <cstdio>
#include <ctime>

#include "common/base/utf8.h"

namespace weir {
namespace {

constexpr std::string_view kCut = "...";

// Bytes of the character that `text` begins with; 0 when none begins there that may stand in a
// line: not valid UTF-8, or one of the control characters U+0080-009F.
std::size_t line_character(std::string_view text) {
  const std::size_t length = utf8_length(text);
  const bool control =
      text.front() == '\xC2' && length == 2 && static_cast<unsigned char>(text[1]) < 0xA0;
  return control ? 0 : length;
}

// The first character of `value` as it stands between quotes; how many bytes it was made of.
std::size_t escape_one(std::string_view value, std::string& out) {
  const char c = value.front();
  const auto byte = static_cast<unsigned char>(c);
  const std::size_t length = line_character(value);
  if (c == '"' || c == '\\') {
    out += '\\';
    out += c;
  } else if (byte < 0x20 || byte == 0x7F || length == 0) {
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
    out += escaped;
  } else {
    out.append(value.substr(0, length));
  }
  return length == 0 ? 1 : length;
}

}  // namespace

void append_quoted(std::string& out, std::string_view value, std::size_t bound) {
  out += '"';
  const std::size_t begin = out.size();
  std::size_t fits = begin;  // where the text may be cut: `...` has room behind it
  while (!value.empty()) {
    if (out.size() - begin + kCut.size() <= bound) fits = out.size();
    value.remove_prefix(escape_one(value, out));
    if (out.size() - begin <= bound) continue;
    out.resize(fits);
    out += kCut;
    break;
  }
  out += '"';
}

bool needs_quotes(std::string_view value) {
  if (value.empty()) return true;
  while (!value.empty()) {
    const char c = value.front();
    const auto byte = static_cast<unsigned char>(c);
    const std::size_t length = line_character(value);
    if (byte <= 0x20 || byte == 0x7F || c == '"' || c == '\\' || c == '=' || length == 0) {
      return true;
    }
    value.remove_prefix(length);
  }
  return false;
}

std::string utc_text(std::uint64_t wall_ms) {
  const auto seconds = static_cast<std::time_t>(wall_ms / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[40];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  char millis[8];
  std::snprintf(millis, sizeof millis, ".%03uZ", static_cast<unsigned>(wall_ms % 1000));
  return std::string(text, length) + millis;
}

std::string percent_unescaped(std::string_view text) {
  const auto value = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape =
        text[i] == '%' && i + 2 < text.size() && value(text[i + 1]) >= 0 && value(text[i + 2]) >= 0;
    out += escape ? static_cast<char>(value(text[i + 1]) * 16 + value(text[i + 2])) : text[i];
    if (escape) i += 2;
  }
  return out;
}

}  // namespace weir
