// PlayerSearch: players of streams that nobody knows, in protocols in which a player is brought to
// one origin at a time (RTMP, SRT, WebRTC). An origin's no is then not the last word: the next one
// that may have the stream is asked, until one takes the player or all have said no
// (docs/STREAMS.md, "Searched"). Here are the order, the bounds, and what is remembered for a
// second; the connections are the owner's.
//
//   wants() -> enter() -> admits() at the origin that was picked -> it says no: next() ... next()
//              waits_for_bound() where one of these two says no
//              leave() when one has taken the player, or the player has left
//
// Owner: a worker, one for each protocol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "common/config/config.h"
#include "common/route/recent_verdicts.h"
#include "common/route/stream_search.h"
#include "ipc/counters.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "workers/core/master_link.h"
#include "workers/core/search_bounds.h"

namespace weir {

// Tells the master and the log that the origin has a stream that somebody searched.
void tell_found(MasterLink& link, const ipc::StateView& state, ipc::StreamFound& found,
                const Endpoint& client);

class PlayerSearch {
 public:
  struct Player {
    SessionId session = 0;
    Endpoint client;
    std::string_view key;
    // All that it says of the stream to origins: one whose token they refuse asks for something
    // else than one with another token.
    std::string_view words;
  };
  // One player's search; belongs to the owner.
  struct Hunt {
    bool counted = false;  // its address' bound has let it pass
    bool place = false;    // has one of search.max_waiting
    bool begun = false;    // an origin has said no, and others are asked
    bool unsure = false;   // one could not be asked
    bool bounded = false;  // by search.rate
    bool other = false;    // one has said something else than that it lacks the stream
    std::vector<ipc::OriginRef> candidates;
    std::size_t asked = 0;       // of them
    std::uint64_t until_ms = 0;  // of waiting for a bound, then of the search
  };
  enum class Entry : std::uint8_t {
    kOpen,
    kDenied,  // all origins have said no within the last second
    kBusy,    // a bound
  };

  // All outlive this. `worker`: the kind of process that shares the bounds.
  PlayerSearch(const Config& config, const ipc::StateView& state, MasterLink& link,
               ipc::Counters& counters, ipc::EndpointKind kind, ipc::WorkerKind worker);

  // Nobody knows for sure where the stream is.
  bool wants(std::string_view key) const;
  // A player of such a stream is to be brought to an origin.
  Entry enter(const Player& player, Hunt& hunt);
  // Whether that origin may be asked now: the master's choice for a stream without a row.
  bool admits(const Hunt& hunt, ipc::OriginRef origin);
  // A bound stands against it. True: it may try to enter() again in kAgainMs; else it is refused.
  static constexpr std::uint64_t kAgainMs = 100;
  bool waits_for_bound(const Player& player, Hunt& hunt);
  // `last` has not taken the player: kNo, kElse or kUnreachable. Whom to ask now; none: it is over.
  std::optional<ipc::OriginRef> next(const Player& player, Hunt& hunt, ipc::OriginRef last,
                                     route::SearchWord word);
  // How long an origin may be silent before that counts as a yes.
  std::uint64_t silence_ends_ms(const Hunt& hunt, std::uint64_t now_ms) const;
  // No other origin is asked any more.
  void leave(Hunt& hunt);
  // The origin that took the player serves it; or the player waits there, or has left it.
  void found(const Player& player, ipc::OriginRef origin);
  void waits_there() { counters_.add(ipc::Counter::kSearchWaiting); }

 private:
  void refresh(std::uint64_t now_ms);
  bool take_place(Hunt& hunt);
  bool begin(const Player& player, Hunt& hunt, ipc::OriginRef last, std::uint64_t now_ms);
  void conclude(const Player& player, Hunt& hunt, std::uint64_t now_ms);
  void note_refused(const Player& player, std::string_view limit);

  const Config& config_;
  const ipc::StateView& state_;
  MasterLink& link_;
  ipc::Counters& counters_;
  const ipc::EndpointKind kind_;
  const ipc::WorkerKind worker_;
  std::size_t searching_ = 0;
  route::RecentVerdicts recent_;
  SearchBounds bounds_;
  std::uint64_t refreshed_ms_ = 0;
};

}  // namespace weir
