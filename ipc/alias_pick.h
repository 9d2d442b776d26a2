// Which one of the streams that an alias rule names a request means, by what the shared state knows
// of them (common/route/alias.h). Reads only; the caller owns everything.
#pragma once

#include <optional>
#include <vector>

#include "common/route/stream_key.h"
#include "ipc/route_reader.h"

namespace weir::ipc {

struct PickedStream {
  route::StreamKey key;
  // What it may be as well: whoever judges the request judges all of them.
  std::vector<route::StreamKey> also;
};

// The first that lives somewhere (for a request whose origin is known: there, if one does), else
// the first that is known, else the first. What certainly lives elsewhere than where the request
// goes is no longer meant; nor, where the picked one lives, is what nobody knows to be there.
// REQUIRES: `names` is not empty, and all keys are sound.
PickedStream pick_stream(const StateView& state, std::vector<route::StreamKey> names,
                         std::optional<OriginRef> pinned);

}  // namespace weir::ipc
