#include "common/route/health.h"

#include <doctest/doctest.h>

#include "common/route/balance.h"

namespace {

using namespace weir::route;

constexpr HealthSettings kSettings{3, 5000, 60000, 300000, 3600000};

Health ejected_after(int ejections, std::uint64_t& now) {
  Health h;
  h.is_static = true;
  for (int i = 0; i < 2; ++i) on_failure(h, kSettings, now);
  for (int i = 0; i < ejections; ++i) {
    if (h.state == HealthState::kEjected) {
      now = h.ejected_until_ms;
      CHECK(on_time(h, kSettings, now) == HealthChange::kOnTrial);
    }
    CHECK(on_failure(h, kSettings, now) == HealthChange::kEjected);
  }
  return h;
}

}  // namespace

TEST_CASE("max_fails failures in a row eject; a success in between starts over") {
  Health h;
  CHECK(on_failure(h, kSettings, 1000) == HealthChange::kNone);
  CHECK(on_failure(h, kSettings, 1000) == HealthChange::kNone);
  CHECK(on_success(h) == HealthChange::kNone);
  CHECK(h.failures_in_row == 0);
  CHECK(on_failure(h, kSettings, 1000) == HealthChange::kNone);
  CHECK(on_failure(h, kSettings, 1000) == HealthChange::kNone);
  CHECK(on_failure(h, kSettings, 1000) == HealthChange::kEjected);
  CHECK(h.ejected_until_ms == 6000);
}

TEST_CASE("each ejection in a row takes twice as long, up to the maximum") {
  std::uint64_t now = 0;
  const std::uint64_t expected[] = {5000, 10000, 20000, 40000, 60000, 60000};
  for (int n = 1; n <= 6; ++n) {
    now = 0;
    const Health h = ejected_after(n, now);
    CHECK(h.ejected_until_ms - now == expected[n - 1]);
  }
  now = 0;
  const Health many = ejected_after(100, now);
  CHECK(many.ejected_until_ms - now == 60000);
}

TEST_CASE("on trial one failure ejects at once, one success clears all") {
  std::uint64_t now = 0;
  Health h = ejected_after(1, now);
  CHECK(on_time(h, kSettings, h.ejected_until_ms - 1) == HealthChange::kNone);
  CHECK(on_time(h, kSettings, h.ejected_until_ms) == HealthChange::kOnTrial);
  CHECK(h.state == HealthState::kUp);
  Health failed = h;
  CHECK(on_failure(failed, kSettings, 7000) == HealthChange::kEjected);
  CHECK(on_success(h) == HealthChange::kRecovered);
  CHECK(on_failure(h, kSettings, 8000) == HealthChange::kNone);
  CHECK(h.ejections_in_row == 0);
}

TEST_CASE("failures of an ejected one do not prolong its ejection; a success ends it") {
  std::uint64_t now = 0;
  Health h = ejected_after(1, now);
  const std::uint64_t until = h.ejected_until_ms;
  CHECK(on_failure(h, kSettings, now + 100) == HealthChange::kNone);
  CHECK(h.ejected_until_ms == until);
  CHECK(on_success(h) == HealthChange::kRecovered);
  CHECK(h.state == HealthState::kUp);
}

TEST_CASE("TTL, revival, forgetting; static ones never die") {
  Health h;
  h.heartbeat_ms = 1000;
  CHECK(on_time(h, kSettings, 300999) == HealthChange::kNone);
  CHECK(on_time(h, kSettings, 301000) == HealthChange::kDied);
  CHECK(on_time(h, kSettings, 301000) == HealthChange::kNone);
  CHECK(on_success(h) == HealthChange::kNone);
  CHECK(h.state == HealthState::kDead);  // a late dial does not replace a heartbeat
  Health back = h;
  CHECK(on_heartbeat(back, 400000) == HealthChange::kRevived);
  CHECK(back.state == HealthState::kUp);
  CHECK(on_heartbeat(back, 401000) == HealthChange::kNone);
  CHECK(on_time(h, kSettings, 3900999) == HealthChange::kNone);
  CHECK(on_time(h, kSettings, 3901000) == HealthChange::kForgotten);
  Health fixed;
  fixed.is_static = true;
  CHECK(on_time(fixed, kSettings, 1ULL << 60) == HealthChange::kNone);
}

TEST_CASE("any order of events keeps the invariants") {
  std::uint64_t random = 7;
  for (int round = 0; round < 300; ++round) {
    Health h;
    h.is_static = (round & 1) != 0;
    std::uint64_t now = 1000;
    h.heartbeat_ms = now;
    for (int step = 0; step < 200; ++step) {
      random = mix(random);
      now += random % 20000;
      const HealthState before = h.state;
      HealthChange change = HealthChange::kNone;
      switch ((random >> 40) % 4) {
        case 0:
          change = on_failure(h, kSettings, now);
          break;
        case 1:
          change = on_success(h);
          break;
        case 2:
          change = on_heartbeat(h, now);
          break;
        default:
          change = on_time(h, kSettings, now);
          break;
      }
      if (h.state == HealthState::kEjected) {
        CHECK(h.ejections_in_row > 0);
        if (before == HealthState::kUp) {
          CHECK(change == HealthChange::kEjected);
          CHECK(h.ejected_until_ms - now >= kSettings.eject_time_ms);
          CHECK(h.ejected_until_ms - now <= kSettings.eject_time_max_ms);
        }
      }
      if (h.is_static) CHECK(h.state != HealthState::kDead);
      if (before != h.state) CHECK(change != HealthChange::kNone);
      if (h.state == HealthState::kUp && h.ejections_in_row == 0) {
        CHECK(h.failures_in_row < kSettings.max_fails);
      }
    }
  }
}
