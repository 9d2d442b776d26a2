#include "common/base/clock.h"

#include <time.h>

namespace weir {
namespace {

std::uint64_t read_us(clockid_t id) {
  timespec ts{};
  ::clock_gettime(id, &ts);
  return static_cast<std::uint64_t>(ts.tv_sec) * 1000000 +
         static_cast<std::uint64_t>(ts.tv_nsec) / 1000;
}

}  // namespace

std::uint64_t monotonic_us() {
  return read_us(CLOCK_MONOTONIC);
}
std::uint64_t monotonic_ms() {
  return read_us(CLOCK_MONOTONIC) / 1000;
}
std::uint64_t wall_ms() {
  return read_us(CLOCK_REALTIME) / 1000;
}

}  // namespace weir
