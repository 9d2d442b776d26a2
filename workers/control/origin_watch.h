// Says in the log when no origin is up, and when one is again: the state in which each client is
// refused. Owner: the control worker, which asks it each second.
#pragma once

#include <cstdint>

#include "workers/control/views.h"

namespace weir::control {

class OriginWatch {
 public:
  void look(const OriginCounts& counts, std::uint32_t total);

 private:
  enum class Told : std::uint8_t { kNothing, kUp, kNone };
  Told told_ = Told::kNothing;
};

}  // namespace weir::control
