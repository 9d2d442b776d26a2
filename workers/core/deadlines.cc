#include "workers/core/deadlines.h"

#include "common/base/clock.h"

namespace weir {

Deadlines::Deadlines(event_base* base, OnDue on_due)
    : on_due_(std::move(on_due)), timer_(make_timer<&Deadlines::on_timer>(base, this)) {}

void Deadlines::set(std::uint32_t who, std::uint64_t& mine, std::uint64_t at_ms) {
  if (mine == at_ms) return;
  if (mine != 0) due_.erase({mine, who});
  mine = at_ms;
  if (at_ms == 0) return;
  due_.emplace(at_ms, who);
  if (timer_at_ms_ != 0 && timer_at_ms_ <= at_ms) return;
  const std::uint64_t now = monotonic_ms();
  timer_at_ms_ = at_ms;
  arm(timer_, at_ms > now ? at_ms - now : 0);
}

void Deadlines::on_timer() {
  const std::uint64_t now = monotonic_ms();
  timer_at_ms_ = 0;
  while (!due_.empty() && due_.begin()->first <= now) {
    const std::uint32_t who = due_.begin()->second;
    due_.erase(due_.begin());
    on_due_(who);
  }
  if (due_.empty() || timer_at_ms_ != 0) return;
  timer_at_ms_ = due_.begin()->first;
  arm(timer_, timer_at_ms_ > now ? timer_at_ms_ - now : 0);
}

}  // namespace weir
