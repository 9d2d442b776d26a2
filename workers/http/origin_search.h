// OriginSearch: a viewer's request for a stream that nobody knows goes to the origins that may have
// it, several at once; the first that has it serves the viewer by the same connection, so a search
// costs no round trip more than asking the right one would (docs/STREAMS.md, "Searched").
//
// Whom to ask when, and what the answers mean together, is route::StreamSearch's matter; what one
// answer says, SearchAnswer's. Here are the connections, the bounds, and what is remembered for a
// second. Of several requests for the same path one leads and the others wait for its verdict.
//
// Owner: StreamDial. The outcome comes through the handler, once for each start() that is not
// followed by stop(), and perhaps from within it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/route/recent_verdicts.h"
#include "common/route/stream_search.h"
#include "workers/core/deadlines.h"
#include "workers/core/origin_dialer.h"
#include "workers/core/search_bounds.h"
#include "workers/http/http_process.h"
#include "workers/http/search_answer_session.h"
#include "workers/http/stream_exchange.h"
#include "workers/http/upstream_pool.h"

namespace weir::http {

class OriginSearch {
 public:
  struct Outcome {
    enum class What : std::uint8_t {
      kResponse,  // `side` and `bytes`: the origin's answer, from its first byte
      kOrigin,    // the stream is at `origin`
      kMaster,    // it decides; `tried` have said no
      kRefused,   // `status`, `why`
    };
    What what = What::kRefused;
    ipc::OriginRef origin;
    Endpoint endpoint;
    bool proxied = false;
    Side side = {};
    std::vector<std::uint8_t> bytes = {};
    std::vector<ipc::OriginRef> tried = {};
    int status = 503;
    std::string_view why = {};
  };
  using OnOutcome = std::function<void(std::uint32_t index, Outcome&& outcome)>;

  // `room`: whose exchanges these are.
  OriginSearch(const Process& process, const Room& room, UpstreamPool& pool, OnOutcome on_outcome);

  // Whether the request's stream is one to be searched, now that shared memory names no route.
  bool wants(const StreamExchange& x) const;
  void start(std::uint32_t index);
  // The origin that the stream was thought to be at has said no; `bytes` is what it sent. False: no
  // search, let its answer pass.
  bool start_after_no(std::uint32_t index, ByteView bytes);
  // The request is over, or has its answer.
  void stop(std::uint32_t index);
  // It now waits at an origin for a publisher.
  void waits(std::uint32_t index);
  // An event of a connection of that request's search.
  void on_ready(std::uint32_t index, int fd, std::uint32_t events);
  // About once a second.
  void sweep();
  std::size_t connections() const { return connections_; }

 private:
  // One origin that is asked.
  struct Leg {
    ipc::OriginRef origin;
    Endpoint endpoint;
    OriginDialer::Ticket dial = 0;
    bool open = false;  // the connection is ours; the dial is kept for a retry
    bool proxied = false;
    Side side = {};
    SearchAnswer answer;
  };
  using Legs = std::unordered_map<std::size_t, Leg>;  // by candidate
  struct Hunt {
    std::uint32_t index;  // of the leader's connection
    std::string name;     // of what is asked for
    std::vector<ipc::OriginRef> candidates;
    route::StreamSearch plan;
    Legs legs = {};
    std::vector<ConnHandle> followers = {};
    std::uint64_t wake_ms = 0;
    // When it has ended in kWait: all but those where its players may wait.
    std::vector<ipc::OriginRef> not_to_wait = {};
  };
  using Result = route::StreamSearch::Result;

  OriginDialer::Handlers handlers();
  StreamExchange& exchange(std::uint32_t index) {
    return static_cast<StreamExchange&>(*process_.server[index].exchange);
  }
  // Its request, if that still has this part in a search; nullptr: it is over, and the connection
  // may be at another one, of another room.
  StreamExchange* find(ConnHandle conn, SearchPart part);

  // origin_search.cc: who is let in, and what becomes of the verdict
  bool answered_lately(std::uint32_t index, const std::string& name);
  bool follow(std::uint32_t index, const std::string& name);
  std::string_view bound_of(std::uint32_t index);
  bool make_room();
  Hunt& add_hunt(std::uint32_t index, std::string&& name, std::vector<ipc::OriginRef>&& candidates,
                 std::size_t hopeful);
  std::vector<ipc::OriginRef> candidates(std::uint32_t index, std::optional<ipc::OriginRef> first,
                                         std::size_t& hopeful) const;
  static std::string name_of(const StreamExchange& x);
  void conclude(Hunt& hunt, const Result& result);
  Outcome outcome_of(Hunt& hunt, const Result& result);
  Outcome for_follower(std::uint32_t index, const Hunt& hunt, const Result& result);
  std::vector<ipc::OriginRef> take_places(const Hunt& hunt);
  Outcome to_wait(std::uint32_t index, const Hunt& hunt);
  void remember(const Hunt& hunt, const Result& result);
  void note_refused(std::uint32_t index, std::string_view limit);
  void tell(ConnHandle to, Outcome&& outcome);
  void count(std::uint32_t index, SearchPart part);

  // search_legs.cc: the connections, and time
  void go_on(std::uint32_t index);
  void ask(Hunt& hunt, std::size_t candidate, std::uint64_t now_ms);
  void on_step(Hunt& hunt, std::size_t candidate, const OriginDialer::Step& step);
  void move(Hunt& hunt, std::size_t candidate);
  void broke(Hunt& hunt, std::size_t candidate, std::string_view why);
  void note(Hunt& hunt, std::size_t candidate, route::SearchWord word);
  void close(Leg& leg);
  void close_all(Hunt& hunt);
  void wake_at(Hunt& hunt, std::uint64_t at_ms) { wakes_.set(hunt.index, hunt.wake_ms, at_ms); }

  Process process_;
  const Room& room_;
  UpstreamPool& pool_;
  OnOutcome on_outcome_;
  OriginDialer dialer_;
  Deadlines wakes_;  // of hunts, by the leader's connection
  std::unordered_map<std::uint32_t, std::unique_ptr<Hunt>> hunts_;  // by the leader's connection
  std::unordered_map<std::string, std::uint32_t> leaders_;          // by what is asked for
  std::deque<ConnHandle> waiters_;  // for publishers, longest first; some have gone meanwhile
  std::size_t waiting_ = 0;         // exchanges with a SearchPart
  std::size_t connections_ = 0;
  route::RecentVerdicts recent_;
  SearchBounds bounds_;
};

}  // namespace weir::http
