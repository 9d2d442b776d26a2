#include "common/base/escape.h"

#include <cstdio>
#include <ctime>

namespace weir {
namespace {

constexpr std::string_view kCut = "...";

// The length of the UTF-8 sequence (RFC 3629) of two to four bytes that `text` begins with; 0 when
// there is none that may stand in a line: not valid, or one of the control characters U+0080-009F.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  const unsigned second = byte(1);
  const bool wrong = (lead == 0xC2 && second < 0xA0) ||  // controls
                     (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90) ||  // long
                     (lead == 0xED && second > 0x9F) ||  // surrogates
                     (lead == 0xF4 && second > 0x8F);    // too high
  return wrong ? 0 : length;
}

// The first character of `value` as it stands between quotes; how many bytes it was made of.
std::size_t escape_one(std::string_view value, std::string& out) {
  const char c = value.front();
  const auto byte = static_cast<unsigned char>(c);
  const std::size_t length = byte < 0x80 ? 1 : utf8_length(value);
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
    const std::size_t length = byte < 0x80 ? 1 : utf8_length(value);
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

}  // namespace weir
