// SipHash-1-3: a keyed hash, so that a client cannot choose stream names that collide.
// Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF".
#pragma once

#include <cstdint>
#include <string_view>

namespace weir {

struct HashSeed {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;
};

std::uint64_t keyed_hash(HashSeed seed, std::string_view text);

}  // namespace weir
