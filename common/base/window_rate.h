// WindowRate: at most so many events in any stretch of time of that length, exactly: a ring of the
// times of the last ones. A token bucket lets a burst and a rate pass; what an origin was promised
// as a bound is this. Pure; its owner has the clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir {

class WindowRate {
 public:
  // `events` 0: none ever.
  WindowRate(std::size_t events, std::uint64_t window_ms)
      : window_ms_(window_ms), times_(events, 0) {}

  // Whether one more may happen now; it has then happened.
  bool take(std::uint64_t now_ms) {
    if (times_.empty()) return false;
    std::uint64_t& oldest = times_[next_];
    if (oldest != 0 && now_ms < oldest + window_ms_) return false;
    oldest = now_ms;
    next_ = (next_ + 1) % times_.size();
    return true;
  }

 private:
  std::uint64_t window_ms_;
  std::vector<std::uint64_t> times_;  // 0: never
  std::size_t next_ = 0;              // the oldest
};

}  // namespace weir
