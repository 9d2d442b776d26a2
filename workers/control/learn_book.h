// LearnBook: what is known of one origin's streams, and what the master has to hear of an answer of
// its API. Rows are compared with the shared state, and only what differs is told, so that whatever
// got lost is told again by the next answer. What an origin shows no longer is found by its slots
// in the table of streams: four bytes a stream, twice while an answer is read (with aliases a bit
// more for each slot then), and no keys. Owner: the Learner; pure but for the shared state, which
// it reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/proto/origin_api/stream_row.h"
#include "common/route/alias.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"

namespace weir::control {

// False: it could not be sent now; the next answer will show it again.
struct LearnSend {
  std::function<bool(ipc::StreamLearned&)> learned;
  std::function<bool(ipc::StreamUnlearned&)> unlearned;
};

class LearnBook {
 public:
  LearnBook(const ipc::StateView& state, const LearnSend& send, ipc::OriginRef origin,
            const route::Aliases& aliases)
      : state_(state), send_(send), origin_(origin), aliases_(aliases) {}

  // Streams that the table says are of this origin, whoever told so: the process before this one,
  // or an earlier service. Not while an answer is read: what it has shown already would be missed.
  void know(const std::vector<std::uint32_t>& slots);

  void begin_answer();
  // One row. False: its names make no key.
  bool take(const origin_api::StreamRow& row);
  // What an answer proves of streams that it does not show.
  enum class Proof : std::uint8_t {
    kNothing,  // it was not whole, or another process gave it than the one before
    kSuspect,  // it came in pages, between which rows may have changed places: two in a row do
    kGone,
  };
  void end_answer(Proof proof);

 private:
  // Told as new, and not yet in the table when it was last looked for.
  struct Told {
    std::string key;
    std::uint32_t answers = 0;  // since then
  };

  bool show(std::uint32_t slot);
  bool is_news(const ipc::StreamHead& head, const ipc::StreamFacts& facts) const;
  void find_missing(Proof proof);
  void find_told();
  bool unlearn(std::string_view key);

  const ipc::StateView& state_;
  const LearnSend& send_;
  ipc::OriginRef origin_;
  const route::Aliases& aliases_;
  std::vector<std::uint32_t> known_;    // sorted slots
  std::vector<std::uint32_t> suspect_;  // of these, what the last answer did not show
  std::vector<std::uint32_t> shown_;    // by the answer that comes
  std::vector<bool> is_shown_;          // of all slots, while it comes; only with aliases
  std::vector<Told> told_;
};

// What a row says beside names.
ipc::StreamFacts facts_of(const origin_api::StreamRow& row);

}  // namespace weir::control
