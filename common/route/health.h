// Health of an origin as two pure state machines (DESIGN section 6). The caller owns the values,
// passes the clock, and acts on the change that each call reports.
//
// Life of an origin: alive, or dead without a heartbeat for the TTL (never a static one), revived
// by one, forgotten after a while.
//
// Health of each of its endpoints, by probes and nothing else: what happens to a client's own
// connection is no evidence.
//
//         max_fails failed probes in a row (one is enough after an ejection without a verdict)
//     up -----------------------------------------------------------------------------> ejected
//      ^                                                                                 |  |  ^
//      +------- a probe succeeds, at any time --------------------------------------------+  |  |
//      |                                                       ejected_until_ms has passed   |  |
//      |                                                       (kTrialDue: ask for a probe)  v  |
//      +------- nobody probed within trial_ms (kUnproved) ----------------------------- on trial
//                                                  a probe fails: ejected again for twice the time
//
// Probes that fail during an ejection count, but do not prolong it.
#pragma once

#include <cstdint>

namespace weir::route {

struct HealthSettings {
  std::uint32_t max_fails = 3;
  std::uint64_t eject_time_ms = 5000;
  std::uint64_t eject_time_max_ms = 60000;
  std::uint64_t ttl_ms = 300000;
  std::uint64_t forget_ms = 3600000;
  std::uint64_t trial_ms = 3000;  // how long the probe at the end of an ejection is waited for
};

struct Life {
  bool dead = false;
  bool is_static = false;
  std::uint64_t heartbeat_ms = 0;
};

enum class LifeChange : std::uint8_t {
  kNone,
  kDied,       // no heartbeat within the TTL
  kRevived,    // a heartbeat of a dead one
  kForgotten,  // dead for so long that the slot may go
};

LifeChange on_heartbeat(Life& life, std::uint64_t now_ms);
LifeChange on_time(Life& life, const HealthSettings& settings, std::uint64_t now_ms);

// Part of the shared origin record.
struct EndpointHealth {
  std::uint64_t ejected_until_ms = 0;
  std::uint32_t failures_in_row = 0;
  std::uint32_t ejections_in_row = 0;
  bool ejected = false;
  bool on_trial = false;  // ejected, its time is over, a probe is due
  std::uint8_t reserved[6] = {};
};
static_assert(sizeof(EndpointHealth) == 24);

enum class HealthChange : std::uint8_t {
  kNone,
  kEjected,    // takes no traffic until ejected_until_ms
  kTrialDue,   // the ejection is over: a probe has to say whether it takes traffic again
  kUnproved,   // no probe did: takes traffic
  kRecovered,  // a probe succeeded: takes traffic again, or for good
};

HealthChange on_probe_failed(EndpointHealth& health, const HealthSettings& settings,
                             std::uint64_t now_ms);
HealthChange on_probe_ok(EndpointHealth& health);
// One change a call; call again until kNone.
HealthChange on_time(EndpointHealth& health, const HealthSettings& settings, std::uint64_t now_ms);
// When on_time has something to say; 0: never.
std::uint64_t next_change_ms(const EndpointHealth& health, const HealthSettings& settings);

}  // namespace weir::route
