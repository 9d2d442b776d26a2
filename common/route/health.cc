#include "common/route/health.h"

#include <algorithm>

namespace weir::route {
namespace {

constexpr std::uint32_t kMaxDoublings = 32;  // beyond any eject_time_max

std::uint64_t ejection_length(const EndpointHealth& health, const HealthSettings& settings) {
  const std::uint32_t doublings = std::min(health.ejections_in_row, kMaxDoublings);
  const std::uint64_t length = settings.eject_time_ms << doublings;
  return std::min(length, std::max(settings.eject_time_max_ms, settings.eject_time_ms));
}

}  // namespace

LifeChange on_heartbeat(Life& life, std::uint64_t now_ms) {
  life.heartbeat_ms = now_ms;
  if (!life.dead) return LifeChange::kNone;
  life.dead = false;
  return LifeChange::kRevived;
}

LifeChange on_time(Life& life, const HealthSettings& settings, std::uint64_t now_ms) {
  const std::uint64_t silent = now_ms > life.heartbeat_ms ? now_ms - life.heartbeat_ms : 0;
  if (life.dead) {
    const bool old = silent >= settings.ttl_ms && silent - settings.ttl_ms >= settings.forget_ms;
    return old ? LifeChange::kForgotten : LifeChange::kNone;
  }
  if (life.is_static || silent < settings.ttl_ms) return LifeChange::kNone;
  life.dead = true;
  return LifeChange::kDied;
}

HealthChange on_probe_failed(EndpointHealth& health, const HealthSettings& settings,
                             std::uint64_t now_ms) {
  if (health.failures_in_row != UINT32_MAX) ++health.failures_in_row;
  if (health.ejected) {
    if (now_ms < health.ejected_until_ms) return HealthChange::kNone;
  } else if (health.ejections_in_row == 0 && health.failures_in_row < settings.max_fails) {
    return HealthChange::kNone;
  }
  health.ejected = true;
  health.on_trial = false;
  health.ejected_until_ms = now_ms + ejection_length(health, settings);
  if (health.ejections_in_row != UINT32_MAX) ++health.ejections_in_row;
  return HealthChange::kEjected;
}

HealthChange on_probe_ok(EndpointHealth& health) {
  const bool news = health.ejections_in_row > 0;
  health = EndpointHealth{};
  return news ? HealthChange::kRecovered : HealthChange::kNone;
}

HealthChange on_time(EndpointHealth& health, const HealthSettings& settings, std::uint64_t now_ms) {
  const std::uint64_t due = next_change_ms(health, settings);
  if (due == 0 || now_ms < due) return HealthChange::kNone;
  if (!health.on_trial) {
    health.on_trial = true;
    return HealthChange::kTrialDue;
  }
  health.ejected = false;
  health.on_trial = false;
  health.ejected_until_ms = 0;
  health.failures_in_row = 0;
  return HealthChange::kUnproved;
}

std::uint64_t next_change_ms(const EndpointHealth& health, const HealthSettings& settings) {
  if (!health.ejected) return 0;
  return health.ejected_until_ms + (health.on_trial ? settings.trial_ms : 0);
}

}  // namespace weir::route
