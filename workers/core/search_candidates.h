// The origins that a search may ask (docs/STREAMS.md, "Searched"), in the order in which it does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "ipc/route_reader.h"

namespace weir {

struct SearchCandidates {
  std::vector<ipc::OriginRef> origins;
  // So many of them, the first ones, may have the stream; the others' own APIs show their streams,
  // and a moment ago not this one: they may still have its files, or have it since.
  std::size_t hopeful = 0;
};

// Those that take traffic there, draining ones, too, but for `without`. `turn`: where there are
// more than are asked not always the same ones shall come first.
SearchCandidates search_candidates(const ipc::StateView& state, ipc::EndpointKind kind,
                                   std::optional<ipc::OriginRef> without, std::uint64_t turn);

}  // namespace weir
