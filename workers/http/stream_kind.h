// What becomes of a successful response for a stream.
#pragma once

#include <cstdint>

namespace weir::http {

enum class StreamKind : std::uint8_t { kPass, kPlaylist, kManifest, kLive };

}  // namespace weir::http
