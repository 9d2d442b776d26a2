// Control bytes in text from outside: names, values, URIs. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace weir {

// Whether some byte is a control character other than HTAB. Eight bytes at a time: all that goes
// through the HTTP worker is asked this.
inline bool has_control_byte(std::string_view text) {
  constexpr std::uint64_t kOnes = ~std::uint64_t{0} / 255;
  constexpr auto is_control = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7F;
  };
  std::size_t at = 0;
  for (; text.size() - at >= 8; at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, 8);
    const std::uint64_t low = (word - kOnes * 0x20) & ~word;
    const std::uint64_t del = word ^ (kOnes * 0x7F);
    if (((low | ((del - kOnes) & ~del)) & (kOnes * 0x80)) == 0) continue;
    for (const char c : text.substr(at, 8)) {  // it may be a tab
      if (is_control(c)) return true;
    }
  }
  for (const char c : text.substr(at)) {
    if (is_control(c)) return true;
  }
  return false;
}

}  // namespace weir
