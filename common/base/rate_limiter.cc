#include "common/base/rate_limiter.h"

#include <algorithm>

namespace weir {

RateLimiter::RateLimiter(std::uint64_t per_second, std::uint64_t burst, std::uint64_t seed)
    : seed_(seed) {
  if (per_second == 0) return;
  interval_us_ = std::max<std::uint64_t>(1, 1'000'000 / per_second);
  depth_us_ = interval_us_ * std::max<std::uint64_t>(1, burst);
  sets_.resize(kSets);
}

// The finalizer of MurmurHash3 (public domain) spreads the key's bits.
RateLimiter::Set& RateLimiter::set_of(std::uint64_t key) {
  std::uint64_t h = key ^ seed_;
  h = (h ^ (h >> 33U)) * 0xFF51AFD7ED558CCDULL;
  h = (h ^ (h >> 33U)) * 0xC4CEB9FE1A85EC53ULL;
  return sets_[(h ^ (h >> 33U)) % kSets];
}

std::uint64_t RateLimiter::take(std::uint64_t key, std::uint64_t now_ms) {
  if (interval_us_ == 0) return 0;
  const std::uint64_t now_us = now_ms * 1000;
  Set& set = set_of(key);
  auto bucket = std::find_if(set.begin(), set.end(), [&](const Bucket& b) { return b.key == key; });
  if (bucket == set.end()) {
    bucket = std::min_element(set.begin(), set.end(), [](const Bucket& a, const Bucket& b) {
      return a.full_us < b.full_us;
    });
    *bucket = {key, 0};
  }
  const std::uint64_t full_us = std::max(bucket->full_us, now_us) + interval_us_;
  if (full_us - now_us > depth_us_) return (full_us - now_us - depth_us_ + 999) / 1000;
  bucket->full_us = full_us;
  return 0;
}

}  // namespace weir
