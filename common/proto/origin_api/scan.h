// Finds a byte in a text whose pieces are short: a call of memchr costs more than it saves there.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace weir::origin_api {

// In each byte of `word` that is `byte` the highest bit is set; above the first one others may be.
inline std::uint64_t mark_byte(std::uint64_t word, std::uint8_t byte) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  const std::uint64_t zero_where = word ^ (kOnes * byte);
  return (zero_where - kOnes) & ~zero_where & (kOnes << 7U);
}

// The first `a` or `b`, or `end`.
inline const std::uint8_t* find_either(const std::uint8_t* at, const std::uint8_t* end,
                                       std::uint8_t a, std::uint8_t b) {
  if constexpr (std::endian::native == std::endian::little) {
    while (end - at >= 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, at, sizeof word);
      const std::uint64_t marks = mark_byte(word, a) | mark_byte(word, b);
      if (marks != 0) return at + std::countr_zero(marks) / 8;
      at += 8;
    }
  }
  while (at != end && *at != a && *at != b) ++at;
  return at;
}

}  // namespace weir::origin_api
