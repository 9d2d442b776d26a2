// Clock readings. Pure code never calls these: it gets the value as an argument.
#pragma once

#include <cstdint>

namespace weir {

// Milliseconds of CLOCK_MONOTONIC: for deadlines; the same in all processes of the machine.
std::uint64_t monotonic_ms();
// Microseconds of CLOCK_MONOTONIC.
std::uint64_t monotonic_us();
// Milliseconds since the epoch: for people.
std::uint64_t wall_ms();

}  // namespace weir
