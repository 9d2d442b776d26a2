// Poller: an epoll set of its own inside a worker's event loop. It can be looked at in ticks: then
// readiness does not wake the process, which is most of what relaying spread frames costs
// (docs/BENCHMARKS.md). Owner: one relay or acceptor; must die before the event base.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <functional>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "workers/core/event_ptr.h"

namespace weir {

// The set alone.
class EpollSet {
 public:
  EpollSet();

  // `events` are EPOLL* bits, EPOLLET among them if wanted. A token comes back with each event; it
  // should carry a generation, because a batch may hold events of what an earlier one has closed.
  // False when the kernel refuses: nothing would come of that descriptor, for ever.
  [[nodiscard]] bool add(int fd, std::uint32_t events, std::uint64_t token);
  [[nodiscard]] bool modify(int fd, std::uint32_t events, std::uint64_t token);
  void remove(int fd);

 protected:
  UniqueFd epoll_;
};

class Poller : public EpollSet {
 public:
  using OnReady = std::function<void(std::uint64_t token, std::uint32_t events)>;

  // tick_ms 0: events are delivered as they come. Otherwise all that has become ready is delivered
  // once a tick, and the ticks only run while resume() holds.
  Poller(event_base* base, std::uint64_t tick_ms, OnReady on_ready);

  // Starts and stops the ticks.
  void resume();
  void pause();

 private:
  void collect();
  void on_tick();

  std::uint64_t tick_ms_;
  OnReady on_ready_;
  EventPtr event_;
  std::uint64_t next_tick_us_ = 0;
  bool running_ = false;
};

// A token of {index, side, generation}, for owners that keep sessions in a table.
struct Token {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  std::uint8_t side = 0;  // 0 or 1

  std::uint64_t pack() const {
    return (static_cast<std::uint64_t>(generation) << 32) | (index << 1) | (side & 1U);
  }
  static Token unpack(std::uint64_t value) {
    return {static_cast<std::uint32_t>(value & 0xFFFFFFFF) >> 1,
            static_cast<std::uint32_t>(value >> 32), static_cast<std::uint8_t>(value & 1)};
  }
};

}  // namespace weir
