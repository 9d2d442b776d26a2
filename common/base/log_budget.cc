#include "common/base/log_budget.h"

#include <utility>

namespace weir {

bool LogBudget::take(std::uint64_t now_ms, std::uint64_t& suppressed) {
  const std::uint64_t second = now_ms / 1000;
  if (second != second_) {
    second_ = second;
    used_ = 0;
  }
  if (used_ >= per_second_) {
    ++swallowed_;
    return false;
  }
  ++used_;
  suppressed = std::exchange(swallowed_, 0);
  return true;
}

}  // namespace weir
