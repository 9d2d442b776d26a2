// Walks over the rows of the shared state, for whoever looks for one by something else than its
// slot.
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

// Calls `visit(record)` for each stream that is there; looks at no slot that was never used.
template <typename Visit>
void each_stream(const StateView& state, Visit&& visit) {
  const std::uint32_t mark = state.header().streams_mark.load(std::memory_order_acquire);
  const std::uint32_t capacity = state.header().stream_capacity;
  for (std::uint32_t slot = 0; slot < mark && slot < capacity; ++slot) {
    StreamRecord record;
    if (state.read_stream(slot, record)) visit(record);
  }
}

// Whether the master that writes the state lives, as far as its heartbeat shows.
inline bool beats(const StateView& state, std::uint64_t now_ms) {
  constexpr std::uint64_t kSilentMs = 10000;  // it beats each second
  return now_ms <= kSilentMs + state.header().heartbeat_ms.load(std::memory_order_relaxed);
}

}  // namespace weir::ipc
