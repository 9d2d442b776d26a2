// Keys of streams in shared memory, in blocks (shm_layout.h): how they are read by anybody, without
// trusting what stands there. A reader takes what it has read only if the slot of the stream was
// the same before and afterwards (SeqSlot::read_with). The one writer is the StateWriter.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "ipc/shm_layout.h"

namespace weir::ipc {

struct KeyTable {
  const KeyBlock* blocks = nullptr;
  std::uint64_t count = 0;
  std::uint32_t slots = 0;  // the first so many blocks are those of the slots themselves
};

inline std::uint32_t next_block(const KeyBlock& block) {
  return static_cast<std::uint32_t>(
      block.words[KeyBlock::kWords - 1].load(std::memory_order_relaxed) >> 32);
}

// Calls piece(at, bytes, size) for each block of the slot's key. False: the piece said so, or what
// stands there is no key of that length.
template <typename Piece>
bool each_key_piece(const KeyTable& table, std::uint32_t slot, std::size_t length, Piece piece) {
  if (length > limits::kStreamKeyBytes) return false;
  std::uint64_t block = slot;
  for (std::size_t at = 0; at < length; at += KeyBlock::kBytes) {
    if (block >= table.count) return false;
    const KeyBlock& here = table.blocks[block];
    const std::size_t size = std::min(length - at, KeyBlock::kBytes);
    std::array<std::uint64_t, KeyBlock::kWords> words;
    const std::size_t used = (size + 7) / 8;
    for (std::size_t i = 0; i < used; ++i) {
      words[i] = here.words[i].load(std::memory_order_relaxed);
    }
    if (!piece(at, words.data(), size)) return false;
    const std::uint32_t next = at + size < length ? next_block(here) : 1;
    if (next == 0) return false;
    block = std::uint64_t{table.slots} + next - 1;
  }
  return true;
}

// REQUIRES: room for limits::kStreamKeyBytes.
inline bool read_key(const KeyTable& table, std::uint32_t slot, std::size_t length, char* out) {
  return each_key_piece(table, slot, length,
                        [out](std::size_t at, const void* bytes, std::size_t size) {
                          std::memcpy(out + at, bytes, size);
                          return true;
                        });
}

inline bool same_key(const KeyTable& table, std::uint32_t slot, std::size_t length,
                     std::string_view key) {
  return length == key.size() &&
         each_key_piece(table, slot, length,
                        [key](std::size_t at, const void* bytes, std::size_t size) {
                          return std::memcmp(key.data() + at, bytes, size) == 0;
                        });
}

}  // namespace weir::ipc
