// Health of one origin as a pure state machine (DESIGN section 6). The caller owns the value,
// passes the clock, and acts on the change that each call reports.
//
//                 max_fails in a row, or one while on trial
//        +------> kUp ------------------------------------> kEjected
//        |        ^  ^                                          |
//   heartbeat     |  +---- ejected_until has passed (on trial) -+
//        |        +------- a dial or probe succeeds ------------+
//        |
//      kDead <---- no heartbeat for the TTL: from kUp and kEjected (never for static origins)
//        +-------> forgotten after a while: the caller frees the slot
//
// On trial: up with ejections_in_row > 0. A success ends the trial, a failure ejects again for
// twice the time. Failures while ejected count, but do not prolong the ejection.
#pragma once

#include <cstdint>

namespace weir::route {

struct HealthSettings {
  std::uint32_t max_fails = 3;
  std::uint64_t eject_time_ms = 5000;
  std::uint64_t eject_time_max_ms = 60000;
  std::uint64_t ttl_ms = 300000;
  std::uint64_t forget_ms = 3600000;
};

enum class HealthState : std::uint8_t { kUp, kEjected, kDead };

struct Health {
  HealthState state = HealthState::kUp;
  bool is_static = false;
  std::uint32_t failures_in_row = 0;
  std::uint32_t ejections_in_row = 0;
  std::uint64_t ejected_until_ms = 0;
  std::uint64_t heartbeat_ms = 0;
};

enum class HealthChange : std::uint8_t {
  kNone,
  kEjected,    // takes no traffic until ejected_until_ms
  kOnTrial,    // the ejection is over
  kRecovered,  // a success: back, or no longer on trial
  kDied,       // no heartbeat within the TTL
  kRevived,    // a heartbeat of a dead one
  kForgotten,  // dead for so long that the slot may go
};

HealthChange on_failure(Health& health, const HealthSettings& settings, std::uint64_t now_ms);
HealthChange on_success(Health& health);
HealthChange on_heartbeat(Health& health, std::uint64_t now_ms);
// One change a call; call again until kNone (or kForgotten).
HealthChange on_time(Health& health, const HealthSettings& settings, std::uint64_t now_ms);

}  // namespace weir::route
