// RtmpWorker: players of streams that nobody knows. Until an origin has taken the player its words
// are held; where it says no the player is brought to the next one (docs/STREAMS.md, "Searched").
#include <utility>

#include "common/base/clock.h"
#include "workers/rtmp/rtmp_worker.h"

namespace weir::rtmp {

using route::SearchWord;

namespace {

constexpr std::size_t kOrigin = 1;  // of Preamble::side

}  // namespace

PlayerSearch::Player searching_player(const Conn& conn) {
  return {conn.id, conn.client, conn.key,
          conn.preamble ? std::string_view(conn.preamble->words) : std::string_view()};
}

// False: it is refused.
bool RtmpWorker::enter_search(std::uint32_t index) {
  const Conn& conn = conns_[index];
  Preamble& p = *conn.preamble;
  const RouteWanted& wanted = p.session.wanted();
  p.words = wanted.tc_url + '\n' + wanted.app + '\n' + wanted.stream;
  switch (search_.enter(searching_player(conn), p.hunt)) {
    case PlayerSearch::Entry::kOpen:
      p.session.hold();
      return true;
    case PlayerSearch::Entry::kDenied:
      refuse(index, EndReason::kNoOrigin, "no origin has this stream", LogLevel::kDebug);
      return false;
    case PlayerSearch::Entry::kBusy:
      on_bound(index);
      break;
  }
  return false;
}

void RtmpWorker::on_bound(std::uint32_t index) {
  const Conn& conn = conns_[index];
  Preamble& p = *conn.preamble;
  if (search_.waits_for_bound(searching_player(conn), p.hunt)) {
    p.stage = Stage::kBounded;
    p.deadline_ms = monotonic_ms() + PlayerSearch::kAgainMs;
    return;
  }
  // Not a line for each of a flood: PlayerSearch has one for all.
  refuse(index, EndReason::kLimit, "too many players of unknown streams, try again",
         LogLevel::kDebug);
}

// Its origin has not taken the player. True: another one is being asked.
bool RtmpWorker::search_on(std::uint32_t index, SearchWord word) {
  Conn& conn = conns_[index];
  Preamble& p = *conn.preamble;
  if (!p.session.holds()) return false;
  while (const auto origin = search_.next(searching_player(conn), p.hunt, conn.origin, word)) {
    p.side[kOrigin] = Leg{};
    p.session.reset_origin();
    p.stage = Stage::kDialing;
    p.deadline_ms = 0;
    OriginDialer::Want want = dial_want(conn, index);
    want.known = *origin;
    want.only_known = true;
    want.quiet = true;
    const OriginDialer::Started started = dialer_.start(want);
    p.dial = started.ticket;
    if (started.step.state != OriginDialer::Step::State::kFailed) {
      on_dial(index, started.step);
      return true;
    }
    conn.origin = *origin;
    word = SearchWord::kUnreachable;
  }
  return false;
}

// The origin has closed before its word on a player. False: the client is at another one, or
// refused.
bool RtmpWorker::on_held_close(std::uint32_t index) {
  Preamble& p = *conns_[index].preamble;
  const bool asked = p.session.state() != State::kReplay;
  const bool searched = p.hunt.begun;
  if (search_on(index, asked ? SearchWord::kNo : SearchWord::kElse)) return false;
  if (searched) {
    refuse(index, EndReason::kOriginClosed, "no origin has this stream", LogLevel::kInfo);
    return false;
  }
  p.session.pass_on();
  return true;
}

void check_found(PlayerSearch& search, Conn& conn) {
  if (conn.bytes_to_client < kSilentBytes) return;
  conn.searched = false;
  search.found(searching_player(conn), conn.origin);
}

}  // namespace weir::rtmp
