// How long origins want keys to be. A listener advertises it in its answer to the induction, and a
// caller makes its key of that length; but Weir answers the caller's induction before it knows the
// stream, so it learns the origins' answers beforehand: by an induction of its own to each SRT
// endpoint, which makes no session there, and by those of every dial. What all of them that have an
// opinion agree on is advertised. docs/SRT.md. Owner: SrtWorker; one thread; dies before the base.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "ipc/route_reader.h"
#include "workers/core/event_ptr.h"

namespace weir::srt {

class KeyLengths {
 public:
  KeyLengths(event_base* base, const ipc::StateView& state);

  // Asks each origin once, new ones within a second.
  void start();
  void stop();
  // The encryption field of an origin's answer to an induction.
  void learn(const Endpoint& origin, std::uint16_t encryption);
  // What a caller is told: 2, 3 or 4 for 16, 24 or 32 bytes; 0 when nothing is known, no origin has
  // an opinion, or they differ.
  std::uint16_t advertised() const { return advertised_; }

 private:
  struct Known {
    std::optional<std::uint16_t> encryption;
    std::uint64_t ask_at_ms = 0;
    bool present = false;  // in the round at hand
  };
  struct Question {
    KeyLengths* owner = nullptr;
    Endpoint origin;
    UniqueFd fd;
    EventPtr answer;
    std::list<Question>::iterator self;
  };

  void on_round();
  void ask(const Endpoint& origin);
  void on_answer(Question& question);
  void decide();

  event_base* base_;
  const ipc::StateView& state_;
  EventPtr timer_;
  std::map<Endpoint, Known, EndpointLess> known_;
  std::list<Question> questions_;
  std::uint16_t advertised_ = 0;
};

}  // namespace weir::srt
