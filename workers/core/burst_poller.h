// BurstPoller: an epoll set that is watched while packets are few and looked at in short ticks
// while they are many. A burst of packets then costs one wake-up, and so do all bursts of a tick,
// which is most of what a relay of datagrams can save (docs/BENCHMARKS.md); a lonely packet waits
// for nothing. Owner: one relay; must die before the event base.
#pragma once

#include <cstdint>
#include <functional>

#include "common/base/fd.h"
#include "workers/core/event_ptr.h"
#include "workers/core/poller.h"

namespace weir {

// When to tick. Pure.
class BurstPace {
 public:
  explicit BurstPace(std::uint64_t tick_us) : tick_us_(tick_us) {}
  // Woken by a packet. True: packets are many, so tick from now on.
  bool on_wake(std::uint64_t now_us);
  // After a tick. True: packets are few again, so wait for them.
  bool on_tick(bool found);

 private:
  std::uint64_t tick_us_;
  std::uint64_t began_us_ = 0;
  unsigned ticks_ = 0;
  unsigned found_ = 0;
};

class BurstPoller : public EpollSet {
 public:
  // Reads what is ready; true: there may be more, so come again before anything else waits.
  using OnReady = std::function<bool(std::uint64_t token)>;

  // tick_ms 0: never ticks.
  BurstPoller(event_base* base, std::uint64_t tick_ms, OnReady on_ready);

 private:
  void on_wake();
  void on_tick();
  bool set_timer(std::uint64_t tick_us);
  bool collect();

  std::uint64_t tick_us_;
  OnReady on_ready_;
  BurstPace pace_;
  UniqueFd timer_;  // libevent's own timers are no finer than a millisecond
  EventPtr wake_event_;
  EventPtr tick_event_;
  std::uint64_t no_ticks_until_us_ = 0;
};

}  // namespace weir
