// SeqSlot<T>: a record in shared memory that one process writes and any number read.
// Two copies; the version says which is valid, and the writer fills the other one before it moves
// the version on. So a writer that is preempted (or killed) half way hides nothing: with one copy,
// a thousand sessions starting at once on two cores found the origin's record unreadable for as
// long as the master waited for a core. A reader takes no lock and never waits: it copies the words
// and checks that the version did not change meanwhile; after kReadTries clashes, each of them a
// whole write, it gives up, which callers treat as "not found here, ask the master". A reader that
// is killed leaves nothing behind; the writer never waits either.
//
// Owner: the mapping. REQUIRES: one writer process at a time (the master).
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace weir::ipc {

inline constexpr int kReadTries = 8;

template <typename T>
class SeqSlot {
  static_assert(std::is_trivially_copyable_v<T>);
  static_assert(sizeof(T) % 8 == 0, "records are copied by 64-bit words");
  static constexpr std::size_t kWords = sizeof(T) / 8;
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

 public:
  // False when the writer finished a write during every try.
  bool read(T& out) const {
    return read_with(out, [](const T&) {});
  }

  // The same, and also(out) reads what belongs to the record and stands elsewhere: it counts only
  // if the record is still the same afterwards. It may see a torn record, and run several times.
  template <typename Also>
  bool read_with(T& out, Also also) const {
    std::array<std::uint64_t, kWords> copy;
    for (int i = 0; i < kReadTries; ++i) {
      const std::uint32_t before = version_.load(std::memory_order_acquire);
      load(before & 1U, 0, kWords, copy);
      // Trivially copyable, though its members have defaults.
      std::memcpy(static_cast<void*>(&out), copy.data(), sizeof(T));
      also(out);
      std::atomic_thread_fence(std::memory_order_acquire);
      if (version_.load(std::memory_order_relaxed) == before) return true;
    }
    return false;
  }

  // The same for a part: copies the first `words` 64-bit words, asks total(out) how many are wanted
  // in all, and copies up to there; the rest of `out` stays as it was. A look-up touches two cache
  // lines of a record this way instead of all. total() may see torn words; only a whole copy is
  // returned.
  template <typename Total>
  bool read_part(T& out, std::size_t words, Total total) const {
    std::array<std::uint64_t, kWords> copy;
    for (int i = 0; i < kReadTries; ++i) {
      const std::uint32_t before = version_.load(std::memory_order_acquire);
      load(before & 1U, 0, words, copy);
      std::memcpy(static_cast<void*>(&out), copy.data(), words * 8);
      const std::size_t wanted = std::min(std::max<std::size_t>(total(out), words), kWords);
      load(before & 1U, words, wanted, copy);
      std::atomic_thread_fence(std::memory_order_acquire);
      if (version_.load(std::memory_order_relaxed) == before) {
        std::memcpy(static_cast<void*>(&out), copy.data(), wanted * 8);
        return true;
      }
    }
    return false;
  }

  // Writer only.
  void write(const T& value) {
    std::array<std::uint64_t, kWords> copy;
    std::memcpy(copy.data(), &value, sizeof(T));
    const std::uint32_t next = version_.load(std::memory_order_relaxed) + 1;
    // Whoever still reads that copy and sees a word of this write also sees that the version moved
    // on since: it did, when the other copy became the valid one.
    std::atomic_thread_fence(std::memory_order_release);
    for (std::size_t w = 0; w < kWords; ++w) {
      cell(next & 1U, w).store(copy[w], std::memory_order_relaxed);
    }
    version_.store(next, std::memory_order_release);
  }

 private:
  using Word = std::atomic<std::uint64_t>;
  // What a look-up needs of both copies stands together behind the version, so that it touches one
  // page and few cache lines whichever is valid.
  static constexpr std::size_t kHead = std::min<std::size_t>(kWords, 15);

  static constexpr std::size_t head_at(std::uint32_t copy) { return copy * kHead; }
  static constexpr std::size_t tail_at(std::uint32_t copy) {
    return 2 * kHead + copy * (kWords - kHead);
  }
  Word& cell(std::uint32_t copy, std::size_t w) {
    return words_[w < kHead ? head_at(copy) + w : tail_at(copy) + w - kHead];
  }
  void load(std::uint32_t copy, std::size_t from, std::size_t to,
            std::array<std::uint64_t, kWords>& out) const {
    const Word* head = words_.data() + head_at(copy);
    const Word* tail = words_.data() + tail_at(copy);
    std::size_t w = from;
    for (; w < to && w < kHead; ++w) out[w] = head[w].load(std::memory_order_relaxed);
    for (; w < to; ++w) out[w] = tail[w - kHead].load(std::memory_order_relaxed);
  }

  std::atomic<std::uint32_t> version_{0};
  std::uint32_t reserved_ = 0;
  std::array<Word, 2 * kWords> words_{};  // both heads, then both tails
};

}  // namespace weir::ipc
