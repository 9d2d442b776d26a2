#include "common/base/log_budget.h"

#include <utility>

namespace weir {

bool LogBudget::take(std::uint64_t now_ms, std::uint64_t& suppressed) {
  if (used_ == 0 || now_ms >= since_ms_ + interval_ms_) {
    since_ms_ = now_ms;
    used_ = 0;
  }
  if (used_ >= lines_) {
    ++swallowed_;
    return false;
  }
  ++used_;
  suppressed = std::exchange(swallowed_, 0);
  return true;
}

}  // namespace weir
