#include "workers/core/player_search.h"

#include "common/base/clock.h"
#include "common/net/crypto.h"
#include "workers/core/origin_text.h"
#include "workers/core/search_candidates.h"

namespace weir {
namespace {

using ipc::Counter;
using route::SearchWord;

constexpr std::uint64_t kRememberMs = 1000;
constexpr std::uint64_t kRefreshMs = 1000;
constexpr std::uint64_t kNowhere = 0;

}  // namespace

PlayerSearch::PlayerSearch(const Config& config, const ipc::StateView& state, MasterLink& link,
                           ipc::Counters& counters, ipc::EndpointKind kind, ipc::WorkerKind worker)
    : config_(config),
      state_(state),
      link_(link),
      counters_(counters),
      kind_(kind),
      worker_(worker),
      recent_(net::random_hash_seed()),
      bounds_(config) {}

void tell_found(MasterLink& link, const ipc::StateView& state, ipc::StreamFound& found,
                const Endpoint& client) {
  link.send(found);
  LogLine(LogLevel::kInfo, "stream found by a search")
      .session(found.session)
      .field("stream", found.key.view())
      .field("origin", origin_text(state, found.origin, Endpoint{}))
      .field("client", client);
}

// The number of workers, with whom the bounds are shared, may have changed.
void PlayerSearch::refresh(std::uint64_t now_ms) {
  if (refreshed_ms_ != 0 && now_ms < refreshed_ms_ + kRefreshMs) return;
  refreshed_ms_ = now_ms;
  bounds_.share(state_, worker_);
}

bool PlayerSearch::wants(std::string_view key) const {
  return config_.search.enabled && !state_.is_held(key);
}

// Where others watch the stream one who is refused says nothing of it.
PlayerSearch::Entry PlayerSearch::enter(const Player& player, Hunt& hunt) {
  const std::uint64_t now = monotonic_ms();
  refresh(now);
  if (recent_.find(player.words, now)) {
    ipc::StreamHead known;
    const bool watched = state_.find_stream(player.key, known) && known.players > 0;
    if (!watched) {
      counters_.add(Counter::kSearchNegatives);
      return Entry::kDenied;
    }
  }
  if (state_.find_route(player.key, ipc::Role::kPlayer, kind_)) return Entry::kOpen;
  if (!hunt.counted && !bounds_.take(player.client, now)) return Entry::kBusy;
  hunt.counted = true;
  return Entry::kOpen;
}

bool PlayerSearch::admits(const Hunt& hunt, ipc::OriginRef origin) {
  if (!hunt.counted || hunt.begun) return true;
  if (!bounds_.take(origin, monotonic_ms())) return false;
  counters_.add(Counter::kSearchRequests);
  return true;
}

// Somebody who opens many streams at once is no flood, and a player that was refused may not come
// again.
bool PlayerSearch::waits_for_bound(const Player& player, Hunt& hunt) {
  const std::uint64_t now = monotonic_ms();
  if (!hunt.place && take_place(hunt)) hunt.until_ms = now + config_.search.timeout;
  if (hunt.place && now < hunt.until_ms) return true;
  note_refused(player, !hunt.place    ? kSearchMaxWaiting
                       : hunt.counted ? kSearchRate
                                      : kSearchRatePerAddress);
  return false;
}

bool PlayerSearch::take_place(Hunt& hunt) {
  if (hunt.place) return true;
  if (searching_ >= static_cast<std::size_t>(config_.search.max_waiting)) return false;
  hunt.place = true;
  ++searching_;
  counters_.add(Counter::kSearchPlayers);
  return true;
}

std::optional<ipc::OriginRef> PlayerSearch::next(const Player& player, Hunt& hunt,
                                                 ipc::OriginRef last, SearchWord word) {
  const std::uint64_t now = monotonic_ms();
  if (!hunt.begun && !begin(player, hunt, last, now)) return std::nullopt;
  hunt.other = hunt.other || word == SearchWord::kElse;
  hunt.unsure = hunt.unsure || word == SearchWord::kUnreachable;
  while (hunt.asked < hunt.candidates.size() && now < hunt.until_ms) {
    const ipc::OriginRef origin = hunt.candidates[hunt.asked++];
    ipc::OriginRecord record;
    if (!state_.read_origin(origin, record) || !record.takes(kind_)) continue;
    if (bounds_.take(origin, now)) {
      counters_.add(Counter::kSearchRequests);
      return origin;
    }
    hunt.unsure = hunt.bounded = true;
  }
  hunt.unsure = hunt.unsure || hunt.asked < hunt.candidates.size();
  conclude(player, hunt, now);
  return std::nullopt;
}

bool PlayerSearch::begin(const Player& player, Hunt& hunt, ipc::OriginRef last,
                         std::uint64_t now_ms) {
  if (!hunt.counted && !bounds_.take(player.client, now_ms)) {
    note_refused(player, kSearchRatePerAddress);
    return false;
  }
  if (!take_place(hunt)) {
    note_refused(player, kSearchMaxWaiting);
    return false;
  }
  hunt.counted = true;
  hunt.begun = true;
  hunt.until_ms = now_ms + config_.search.timeout;
  hunt.candidates = search_candidates(state_, kind_, last, player.session).origins;
  return true;
}

void PlayerSearch::conclude(const Player& player, Hunt& hunt, std::uint64_t now_ms) {
  const Counter result = hunt.unsure  ? Counter::kSearchUnknown
                         : hunt.other ? Counter::kSearchOther
                                      : Counter::kSearchNone;
  counters_.add(result);
  if (hunt.bounded) note_refused(player, kSearchRate);
  if (result == Counter::kSearchNone) recent_.put(player.words, kNowhere, now_ms + kRememberMs);
  leave(hunt);
}

std::uint64_t PlayerSearch::silence_ends_ms(const Hunt& hunt, std::uint64_t now_ms) const {
  return hunt.begun ? hunt.until_ms : now_ms + config_.search.timeout;
}

void PlayerSearch::leave(Hunt& hunt) {
  if (hunt.place) {
    --searching_;
    counters_.sub(Counter::kSearchPlayers);
  }
  hunt = {};
}

void PlayerSearch::found(const Player& player, ipc::OriginRef origin) {
  counters_.add(Counter::kSearchFound);
  ipc::StreamFound message;
  message.session = player.session;
  message.origin = origin;
  message.protocol = kind_;
  message.key.assign(player.key);
  tell_found(link_, state_, message, player.client);
}

void PlayerSearch::note_refused(const Player& player, std::string_view limit) {
  bounds_.note_refused(counters_, {player.session, player.client, player.key, limit},
                       monotonic_ms());
}

}  // namespace weir
