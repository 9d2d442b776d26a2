#include "workers/control/origin_watch.h"

#include "common/base/log.h"

namespace weir::control {

void OriginWatch::look(const OriginCounts& counts, std::uint32_t total) {
  const Told now = counts.up > 0 ? Told::kUp : Told::kNone;
  if (now == told_) return;
  if (now == Told::kNone) {
    LogLine(LogLevel::kWarn, "no origin is up")
        .field("origins", total)
        .field("remedy", total == 0 ? "origins register here, or stand in origin blocks"
                                    : "see /api/v1/origins");
  } else if (told_ == Told::kNone) {
    LogLine(LogLevel::kNotice, "an origin is up").field("origins", counts.up);
  }
  told_ = now;
}

}  // namespace weir::control
