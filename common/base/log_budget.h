// LogBudget: so many log lines a second and no more, however many events there are: whoever floods
// a port must not fill the disk as well. Pure; its owner has the clock.
#pragma once

#include <cstdint>

namespace weir {

class LogBudget {
 public:
  explicit LogBudget(std::uint32_t per_second) : per_second_(per_second) {}
  // True: write it. `suppressed` is then how many were swallowed since the last one.
  bool take(std::uint64_t now_ms, std::uint64_t& suppressed);

 private:
  std::uint32_t per_second_;
  std::uint32_t used_ = 0;
  std::uint64_t second_ = 0;
  std::uint64_t swallowed_ = 0;
};

}  // namespace weir
