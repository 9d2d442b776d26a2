#include "common/route/health.h"

#include <algorithm>

namespace weir::route {
namespace {

constexpr std::uint32_t kMaxDoublings = 32;  // beyond any eject_time_max

std::uint64_t ejection_length(const Health& health, const HealthSettings& settings) {
  const std::uint32_t doublings = std::min(health.ejections_in_row, kMaxDoublings);
  const std::uint64_t length = settings.eject_time_ms << doublings;
  return std::min(length, std::max(settings.eject_time_max_ms, settings.eject_time_ms));
}

}  // namespace

HealthChange on_failure(Health& health, const HealthSettings& settings, std::uint64_t now_ms) {
  if (health.failures_in_row != UINT32_MAX) ++health.failures_in_row;
  if (health.state != HealthState::kUp) return HealthChange::kNone;
  const bool on_trial = health.ejections_in_row > 0;
  if (!on_trial && health.failures_in_row < settings.max_fails) return HealthChange::kNone;
  health.state = HealthState::kEjected;
  health.ejected_until_ms = now_ms + ejection_length(health, settings);
  if (health.ejections_in_row != UINT32_MAX) ++health.ejections_in_row;
  return HealthChange::kEjected;
}

HealthChange on_success(Health& health) {
  const bool news = health.state == HealthState::kEjected ||
                    (health.state == HealthState::kUp && health.ejections_in_row > 0);
  health.failures_in_row = 0;
  health.ejections_in_row = 0;
  health.ejected_until_ms = 0;
  if (health.state == HealthState::kEjected) health.state = HealthState::kUp;
  return news ? HealthChange::kRecovered : HealthChange::kNone;
}

HealthChange on_heartbeat(Health& health, std::uint64_t now_ms) {
  health.heartbeat_ms = now_ms;
  if (health.state != HealthState::kDead) return HealthChange::kNone;
  health.state = HealthState::kUp;
  health.failures_in_row = 0;
  health.ejections_in_row = 0;
  health.ejected_until_ms = 0;
  return HealthChange::kRevived;
}

HealthChange on_time(Health& health, const HealthSettings& settings, std::uint64_t now_ms) {
  const std::uint64_t silent = now_ms > health.heartbeat_ms ? now_ms - health.heartbeat_ms : 0;
  if (health.state == HealthState::kDead) {
    const bool old = silent >= settings.ttl_ms && silent - settings.ttl_ms >= settings.forget_ms;
    return old ? HealthChange::kForgotten : HealthChange::kNone;
  }
  if (!health.is_static && silent >= settings.ttl_ms) {
    health.state = HealthState::kDead;
    return HealthChange::kDied;
  }
  if (health.state == HealthState::kEjected && now_ms >= health.ejected_until_ms) {
    health.state = HealthState::kUp;
    return HealthChange::kOnTrial;
  }
  return HealthChange::kNone;
}

}  // namespace weir::route
