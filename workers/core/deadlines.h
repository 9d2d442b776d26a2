// Deadlines: one timer for the deadlines of many. Owner: a part of a worker whose members have
// numbers, each with one deadline at most; must die before the event base.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <utility>

#include "workers/core/event_ptr.h"

namespace weir {

class Deadlines {
 public:
  // Called from the event loop, once the deadline is over and forgotten here.
  using OnDue = std::function<void(std::uint32_t who)>;

  Deadlines(event_base* base, OnDue on_due);

  // Times of CLOCK_MONOTONIC, 0: none. `mine` is what the member has until now, and then `at_ms`.
  void set(std::uint32_t who, std::uint64_t& mine, std::uint64_t at_ms);

 private:
  void on_timer();

  OnDue on_due_;
  EventPtr timer_;
  std::uint64_t timer_at_ms_ = 0;  // 0: it is not armed
  std::set<std::pair<std::uint64_t, std::uint32_t>> due_;
};

}  // namespace weir
