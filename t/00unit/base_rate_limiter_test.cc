// Token buckets: burst, refill, independence of keys, and a crowded table.
#include "common/base/rate_limiter.h"

#include <doctest/doctest.h>

using weir::RateLimiter;

TEST_CASE("rate limiter: a burst, then the rate") {
  RateLimiter limiter(10, 5, 1);
  for (int i = 0; i < 5; ++i) CHECK(limiter.take(7, 1000) == 0);
  CHECK(limiter.take(7, 1000) == 100);
  CHECK(limiter.take(7, 1050) == 50);
  CHECK(limiter.take(8, 1000) == 0);  // somebody else
  CHECK(limiter.take(7, 1100) == 0);
  CHECK(limiter.take(7, 1100) == 100);
  for (int i = 0; i < 5; ++i) CHECK(limiter.take(7, 60000) == 0);  // full again, and no fuller
  CHECK(limiter.take(7, 60000) > 0);
}

TEST_CASE("rate limiter: over a long time the rate is kept") {
  RateLimiter limiter(50, 10, 2);
  int taken = 0;
  for (std::uint64_t ms = 0; ms < 10000; ++ms) taken += limiter.take(1, 5000 + ms) == 0 ? 1 : 0;
  CHECK(taken >= 500);
  CHECK(taken <= 510);
}

TEST_CASE("rate limiter: off, and burst of none") {
  RateLimiter off(0, 0, 3);
  for (int i = 0; i < 1000; ++i) CHECK(off.take(1, 1) == 0);
  RateLimiter one(1, 0, 3);
  CHECK(one.take(1, 1) == 0);
  CHECK(one.take(1, 1) == 1000);
}

TEST_CASE("rate limiter: a flood of keys is bounded and never locks out a new one") {
  RateLimiter limiter(1, 1, 4);
  for (std::uint64_t key = 1; key <= 200000; ++key) CHECK(limiter.take(key, 1000) == 0);
}
