// UTF-8 (RFC 3629): names and texts from outside, which may be anything. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

// Bytes of the sequence that `text` begins with, 1 for ASCII; 0 when it is no valid one: cut short,
// longer than need be, a surrogate, or beyond U+10FFFF. REQUIRES: text is not empty.
std::size_t utf8_length(std::string_view text);
bool is_valid_utf8(std::string_view text);
// Each byte that is no part of valid UTF-8, and NUL, becomes U+FFFD.
std::string to_valid_utf8(std::string_view text);
// `code`, up to U+10FFFF, written into `out`: a view of that.
std::string_view write_utf8(std::uint32_t code, std::array<char, 4>& out);

}  // namespace weir
