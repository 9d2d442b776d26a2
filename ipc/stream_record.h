// The rows of streams in shared memory; part of the layout of ipc/shm_layout.h (docs/SHM.md), which
// says who writes and reads them. docs/STREAMS.md says what they mean.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/limits.h"

namespace weir::ipc {

inline constexpr std::uint32_t kNoSlot = 0xFFFFFFFF;

// What the row of a stream says beside its counts.
enum StreamFlag : std::uint8_t {
  kLearned = 1,   // its origin's own API shows that it is published there
  kSearched = 2,  // its origin answered a viewer who was searching
  kKept = 4,      // it was there when the last service ended; nobody has shown that since
};

enum class VideoCodec : std::uint8_t { kNone, kOther, kH264, kHevc, kAv1, kVp8, kVp9, kH263 };
enum class AudioCodec : std::uint8_t { kNone, kOther, kAac, kMp3, kOpus, kSpeex, kPcm };
std::string_view to_string(VideoCodec codec);
std::string_view to_string(AudioCodec codec);

// What an origin's API says of a stream. Zeros: it said nothing.
struct StreamFacts {
  std::uint32_t kbps = 0;  // from the publisher
  VideoCodec video = VideoCodec::kNone;
  AudioCodec audio = AudioCodec::kNone;
  std::uint16_t reserved = 0;
  friend bool operator==(const StreamFacts&, const StreamFacts&) = default;
};

// A stream's row but for its key, which stands beside it and does not change as long as the slot is
// used.
struct StreamHead {
  std::uint64_t hash = 0;  // keyed_hash(header.seed, key)
  std::uint32_t origin_slot = kNoSlot;
  std::uint32_t origin_generation = 0;
  std::uint32_t publishers = 0;  // sessions through Weir, as players
  std::uint32_t players = 0;
  std::uint64_t last_use_ms = 0;  // CLOCK_MONOTONIC; only meaningful without sessions
  StreamFacts facts;
  std::uint32_t created_wall_s = 0;
  std::uint16_t key_length = 0;  // 0: free slot
  std::uint8_t flags = 0;        // StreamFlag
  std::uint8_t reserved = 0;

  bool has(StreamFlag flag) const { return (flags & flag) != 0; }
  void set(StreamFlag flag, bool on) {
    flags = static_cast<std::uint8_t>(on ? flags | flag : flags & ~flag);
  }
  // It is there and nowhere else, as far as anybody knows.
  bool is_held() const { return publishers > 0 || has(kLearned); }
};
static_assert(sizeof(StreamHead) == 48);

// The same with its key, as it is handed around.
struct StreamRecord : StreamHead {
  char key[512] = {};  // not NUL-terminated

  std::string_view key_text() const { return {key, key_length}; }
};
static_assert(limits::kStreamKeyBytes <= sizeof(StreamRecord::key));

// A piece of a key: 60 bytes of it, then the number of the next one, from 1; 0: the last. Each slot
// has one of its own, which is enough for most keys; the others are shared out.
struct KeyBlock {
  static constexpr std::size_t kWords = 8;
  static constexpr std::size_t kBytes = 60;
  std::atomic<std::uint64_t> words[kWords];
};
static_assert(sizeof(KeyBlock) == 64);
inline constexpr std::uint32_t kMoreBlocks = 8;  // of one key; 9 blocks hold the longest
static_assert((kMoreBlocks + 1) * KeyBlock::kBytes >= limits::kStreamKeyBytes);

}  // namespace weir::ipc
