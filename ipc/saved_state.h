// What the state segment of a service that has ended still says (docs/STREAMS.md, "Kept over a
// restart"). It comes from a file, so nothing in it is trusted: whoever takes a record over asks
// plausible() first, and each key is compared with its hash. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/result.h"
#include "ipc/route_reader.h"
#include "ipc/shm_layout.h"

namespace weir::ipc {

// Fails when the tables are larger than options can make them, or the segment is of another boot,
// or when its master's last sign of life is longer ago than max_age_ms.
Result<void> check_saved(const StateView& state, const std::string& boot_id, std::uint64_t now_ms,
                         std::uint64_t max_age_ms);

// The record could have been written by this program: everything in range and complete.
bool plausible(const OriginRecord& record);

// One stream that was there. False: the slot is free, or what stands there is not whole.
bool read_saved_stream(const StateView& state, std::uint32_t slot, StreamRecord& out);

}  // namespace weir::ipc
