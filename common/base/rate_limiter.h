// RateLimiter: a token bucket for each of many keys (client addresses), in a table of fixed size.
// Kept as the time at which a bucket will be full again, so idle ones need no upkeep. Where the
// table is crowded the key with the most tokens is forgotten: a flood of addresses can only make
// the limit milder. Pure; its owner has the clock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir {

class RateLimiter {
 public:
  // `per_second` 0: no limit, and no memory. `seed` keeps clients from choosing who shares a set.
  RateLimiter(std::uint64_t per_second, std::uint64_t burst, std::uint64_t seed);

  // Takes a token of `key`. 0: it may go on; else the milliseconds until there is a token.
  std::uint64_t take(std::uint64_t key, std::uint64_t now_ms);

 private:
  struct Bucket {
    std::uint64_t key = 0;
    std::uint64_t full_us = 0;  // when it will be full again
  };
  static constexpr std::size_t kWays = 4;
  static constexpr std::size_t kSets = 8192;
  using Set = std::array<Bucket, kWays>;

  Set& set_of(std::uint64_t key);

  std::uint64_t interval_us_ = 0;  // between two tokens
  std::uint64_t depth_us_ = 0;     // that an empty bucket takes to fill
  std::uint64_t seed_;
  std::vector<Set> sets_;
};

}  // namespace weir
