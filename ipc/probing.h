// Where a stream's search begins in the bucket table; shared by the readers and the writer.
#pragma once

#include <cstdint>

namespace weir::ipc {

constexpr std::uint32_t home_bucket(std::uint64_t hash, std::uint32_t mask) {
  return static_cast<std::uint32_t>(hash) & mask;
}

}  // namespace weir::ipc
