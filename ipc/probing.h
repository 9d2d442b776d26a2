// Tables of buckets with linear probing, as all indexes of the shared memory are: where a search
// begins, and how their one writer adds and removes. A bucket of value 0 is empty. REQUIRES: a
// power of two of buckets, of which half at most are ever used, so that a search always finds an
// end.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

namespace weir::ipc {

using BucketTable = std::span<std::atomic<std::uint32_t>>;

constexpr std::uint32_t home_bucket(std::uint64_t hash, std::uint32_t mask) {
  return static_cast<std::uint32_t>(hash) & mask;
}

inline void insert_bucket(BucketTable table, std::uint64_t hash, std::uint32_t value) {
  const auto mask = static_cast<std::uint32_t>(table.size() - 1);
  std::uint32_t at = home_bucket(hash, mask);
  while (table[at].load(std::memory_order_relaxed) != 0) at = (at + 1) & mask;
  table[at].store(value, std::memory_order_release);
}

// Removes `value`, whose hash this is; nothing when it is not there. hash_of(value) is the hash of
// any value in the table. Backward shift: whoever probed past the hole moves into it, so that no
// tombstones pile up. The entry is copied before its old place is emptied; a reader may see it
// twice, or not at all when it has passed the hole already, and then asks the master.
template <typename HashOf>
void erase_bucket(BucketTable table, std::uint64_t hash, std::uint32_t value, HashOf hash_of) {
  const auto mask = static_cast<std::uint32_t>(table.size() - 1);
  std::uint32_t hole = home_bucket(hash, mask);
  for (;; hole = (hole + 1) & mask) {
    const std::uint32_t here = table[hole].load(std::memory_order_relaxed);
    if (here == 0) return;
    if (here == value) break;
  }
  for (std::uint32_t at = (hole + 1) & mask;; at = (at + 1) & mask) {
    const std::uint32_t next = table[at].load(std::memory_order_relaxed);
    if (next == 0) break;
    const std::uint32_t home = home_bucket(hash_of(next), mask);
    if (((at - home) & mask) < ((at - hole) & mask)) continue;  // it must not move before its home
    table[hole].store(next, std::memory_order_release);
    hole = at;
  }
  table[hole].store(0, std::memory_order_release);
}

}  // namespace weir::ipc
