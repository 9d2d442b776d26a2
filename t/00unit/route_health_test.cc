#include "common/route/health.h"

#include <doctest/doctest.h>

#include "common/route/balance.h"

namespace {

using namespace weir::route;

constexpr HealthSettings kSettings{3, 5000, 60000, 300000, 3600000, 3000};

EndpointHealth ejected_after(int ejections, std::uint64_t& now) {
  EndpointHealth h;
  for (int i = 0; i < 2; ++i) on_probe_failed(h, kSettings, now);
  for (int i = 0; i < ejections; ++i) {
    if (h.ejected) {
      now = h.ejected_until_ms;
      CHECK(on_time(h, kSettings, now) == HealthChange::kTrialDue);
    }
    CHECK(on_probe_failed(h, kSettings, now) == HealthChange::kEjected);
  }
  return h;
}

}  // namespace

TEST_CASE("max_fails failed probes in a row eject; a success in between starts over") {
  EndpointHealth h;
  CHECK(on_probe_failed(h, kSettings, 1000) == HealthChange::kNone);
  CHECK(on_probe_failed(h, kSettings, 1000) == HealthChange::kNone);
  CHECK(on_probe_ok(h) == HealthChange::kNone);
  CHECK(h.failures_in_row == 0);
  CHECK(on_probe_failed(h, kSettings, 1000) == HealthChange::kNone);
  CHECK(on_probe_failed(h, kSettings, 1000) == HealthChange::kNone);
  CHECK(on_probe_failed(h, kSettings, 1000) == HealthChange::kEjected);
  CHECK(h.ejected_until_ms == 6000);
}

TEST_CASE("each ejection in a row takes twice as long, up to the maximum") {
  std::uint64_t now = 0;
  const std::uint64_t expected[] = {5000, 10000, 20000, 40000, 60000, 60000};
  for (int n = 1; n <= 6; ++n) {
    now = 0;
    const EndpointHealth h = ejected_after(n, now);
    CHECK(h.ejected_until_ms - now == expected[n - 1]);
  }
  now = 0;
  const EndpointHealth many = ejected_after(100, now);
  CHECK(many.ejected_until_ms - now == 60000);
}

TEST_CASE("at the end of an ejection a probe decides") {
  std::uint64_t now = 0;
  EndpointHealth h = ejected_after(1, now);
  const std::uint64_t until = h.ejected_until_ms;
  CHECK(next_change_ms(h, kSettings) == until);
  CHECK(on_time(h, kSettings, until - 1) == HealthChange::kNone);
  CHECK(on_time(h, kSettings, until) == HealthChange::kTrialDue);
  CHECK(on_time(h, kSettings, until) == HealthChange::kNone);
  CHECK(h.ejected);
  SUBCASE("one failure ejects for longer") {
    CHECK(on_probe_failed(h, kSettings, until + 10) == HealthChange::kEjected);
    CHECK(h.ejected_until_ms == until + 10 + 10000);
    CHECK_FALSE(h.on_trial);
  }
  SUBCASE("one success clears all") {
    CHECK(on_probe_ok(h) == HealthChange::kRecovered);
    CHECK_FALSE(h.ejected);
    CHECK(on_probe_failed(h, kSettings, until + 10) == HealthChange::kNone);
    CHECK(h.ejections_in_row == 0);
    CHECK(next_change_ms(h, kSettings) == 0);
  }
  SUBCASE("without a verdict it takes traffic, and the next failure is enough") {
    CHECK(next_change_ms(h, kSettings) == until + 3000);
    CHECK(on_time(h, kSettings, until + 2999) == HealthChange::kNone);
    CHECK(on_time(h, kSettings, until + 3000) == HealthChange::kUnproved);
    CHECK_FALSE(h.ejected);
    EndpointHealth good = h;
    CHECK(on_probe_failed(h, kSettings, until + 4000) == HealthChange::kEjected);
    CHECK(h.ejected_until_ms == until + 4000 + 10000);
    CHECK(on_probe_ok(good) == HealthChange::kRecovered);
    CHECK(on_probe_failed(good, kSettings, until + 4000) == HealthChange::kNone);
  }
}

TEST_CASE("probes that fail during an ejection do not prolong it; one that succeeds ends it") {
  std::uint64_t now = 0;
  EndpointHealth h = ejected_after(1, now);
  const std::uint64_t until = h.ejected_until_ms;
  CHECK(on_probe_failed(h, kSettings, now + 100) == HealthChange::kNone);
  CHECK(h.ejected_until_ms == until);
  // One in the round comes before the one that the end of the ejection asks for: the same verdict.
  EndpointHealth early = h;
  CHECK(on_probe_failed(early, kSettings, until) == HealthChange::kEjected);
  CHECK(on_probe_ok(h) == HealthChange::kRecovered);
  CHECK_FALSE(h.ejected);
}

TEST_CASE("TTL, revival, forgetting; static ones never die") {
  Life life;
  life.heartbeat_ms = 1000;
  CHECK(on_time(life, kSettings, 300999) == LifeChange::kNone);
  CHECK(on_time(life, kSettings, 301000) == LifeChange::kDied);
  CHECK(on_time(life, kSettings, 301000) == LifeChange::kNone);
  CHECK(life.dead);
  Life back = life;
  CHECK(on_heartbeat(back, 400000) == LifeChange::kRevived);
  CHECK_FALSE(back.dead);
  CHECK(on_heartbeat(back, 401000) == LifeChange::kNone);
  CHECK(on_time(life, kSettings, 3900999) == LifeChange::kNone);
  CHECK(on_time(life, kSettings, 3901000) == LifeChange::kForgotten);
  Life fixed;
  fixed.is_static = true;
  CHECK(on_time(fixed, kSettings, 1ULL << 60) == LifeChange::kNone);
}

TEST_CASE("any order of events keeps the invariants") {
  std::uint64_t random = 7;
  for (int round = 0; round < 300; ++round) {
    EndpointHealth h;
    std::uint64_t now = 1000;
    for (int step = 0; step < 200; ++step) {
      random = mix(random);
      now += random % 20000;
      const EndpointHealth before = h;
      HealthChange change = HealthChange::kNone;
      switch ((random >> 40) % 3) {
        case 0:
          change = on_probe_failed(h, kSettings, now);
          break;
        case 1:
          change = on_probe_ok(h);
          break;
        default:
          change = on_time(h, kSettings, now);
          break;
      }
      if (h.ejected) CHECK(h.ejections_in_row > 0);
      if (change == HealthChange::kEjected) {
        CHECK(h.ejected);
        CHECK(h.ejected_until_ms - now >= kSettings.eject_time_ms);
        CHECK(h.ejected_until_ms - now <= kSettings.eject_time_max_ms);
      }
      if (before.ejected != h.ejected) CHECK(change != HealthChange::kNone);
      CHECK((!h.on_trial || h.ejected));
      CHECK((next_change_ms(h, kSettings) != 0) == h.ejected);
      if (!h.ejected && h.ejections_in_row == 0) CHECK(h.failures_in_row < kSettings.max_fails);
    }
  }
}
