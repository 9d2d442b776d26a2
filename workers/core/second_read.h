// SecondRead: whether one sender is worth a second read in a tick. Pure; owned by its reader, one a
// direction.
//
// A server that leaves Nagle's algorithm on and writes a frame in parts (nginx-rtmp: chunk by
// chunk) sends the first part at once and the others when that is acknowledged, which the kernel of
// a reader that comes once a tick does when it reads. Between neighbours the rest is there before
// the read returns; left to the next tick, every frame would take two (docs/DECISIONS.md, "Ticks
// and an origin with Nagle"). With all other senders a second read finds nothing and costs a call,
// so only one in kEvery tries it.
#pragma once

#include <algorithm>
#include <cstdint>

namespace weir {

class SecondRead {
 public:
  // First reads to one try. Odd: a frame in two parts takes two reads, and an even number would
  // always try after the same part.
  static constexpr std::uint8_t kEvery = 33;

  // After a first read that brought something: is a second one due?
  bool is_due() {
    if (found_ > 0) return true;
    since_ = static_cast<std::uint8_t>((since_ + 1) % kEvery);
    return since_ == 0;
  }
  // What it came to. One that brought something pays for two that did not.
  void note(bool brought) {
    found_ = static_cast<std::uint8_t>(std::clamp(found_ + (brought ? 2 : -1), 0, kMost));
  }

 private:
  static constexpr int kMost = 16;
  std::uint8_t since_ = 0;
  std::uint8_t found_ = 0;
};

}  // namespace weir
