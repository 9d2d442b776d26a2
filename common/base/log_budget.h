// LogBudget: so many log lines in an interval and no more, however many events there are: whoever
// floods a port must not fill the disk as well. Pure; its owner has the clock.
#pragma once

#include <cstdint>

namespace weir {

class LogBudget {
 public:
  explicit LogBudget(std::uint32_t lines, std::uint64_t interval_ms = 1000)
      : lines_(lines), interval_ms_(interval_ms) {}
  // True: write it. `suppressed` is then how many were swallowed since the last one.
  bool take(std::uint64_t now_ms, std::uint64_t& suppressed);

 private:
  std::uint32_t lines_;
  std::uint64_t interval_ms_;
  std::uint32_t used_ = 0;
  std::uint64_t since_ms_ = 0;  // the interval begins with its first line
  std::uint64_t swallowed_ = 0;
};

}  // namespace weir
