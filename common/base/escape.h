// Text from outside in a log line: escaped so that one line stays one line and one value one value,
// and the time as log lines write it. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

inline constexpr std::size_t kNoBound = ~std::size_t{0};

// Appends a JSON string (RFC 8259), quotes included. Valid UTF-8 is kept: stream names often have
// some. Any other byte, and control characters, appear as the character of their number. Between
// the quotes stand at most `bound` bytes; what does not fit is cut, and `...` says so.
void append_quoted(std::string& out, std::string_view value, std::size_t bound = kNoBound);
// Whether a value could be mistaken for something else where values stand bare between blanks.
bool needs_quotes(std::string_view value);
// Undoes percent-escapes once; a `%` that begins none stands for itself, as in stream keys.
std::string percent_unescaped(std::string_view text);
// `2026-01-31T23:59:59.999Z`.
std::string utc_text(std::uint64_t wall_ms);

}  // namespace weir
