// The walk over all origins of the shared state, for whoever looks for one by something else than
// its slot.
#pragma once

#include <atomic>
#include <cstdint>

#include "ipc/route_reader.h"

namespace weir::ipc {

// Calls `visit(ref, record)` for each origin until it says true; whether it did. Looks no further
// than the last one in use.
template <typename Visit>
bool any_origin(const StateView& state, Visit&& visit) {
  const StateHeader& header = state.header();
  std::uint32_t left = header.origins_used.load(std::memory_order_relaxed);
  for (std::uint32_t slot = 0; slot < header.origin_capacity && left > 0; ++slot) {
    OriginRecord record;
    if (!state.read_origin(slot, record)) continue;
    --left;
    if (visit(OriginRef{slot, record.generation}, record)) return true;
  }
  return false;
}

// The same for all of them.
template <typename Visit>
void each_origin(const StateView& state, Visit&& visit) {
  any_origin(state, [&visit](OriginRef ref, OriginRecord& record) {
    visit(ref, record);
    return false;
  });
}

}  // namespace weir::ipc
