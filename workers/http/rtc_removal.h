// RtcRemover: sessions that an origin has made and nobody uses (any more) are ended there, so that
// the next try finds their place free.
//
//   WHIP, WHEP           DELETE what its Location named
//   SRS's JSON, publish  names no such address: the publisher is looked for among the clients that
//                        the origin's API tells, by the address that it publishes to, and kicked.
//                        One address has one publisher; a later one than ours is left alone
//   SRS's JSON, play     is left to the origin's timeout: nobody waits for its place, and it cannot
//                        be told from other players
//
// Owner: RtcSignal. Bounds: kRemovalsAtOnce of abandoned sessions at once, limits::kAbandonedFlows
// that wait; those of remove() are as many as its callers have calls. Errors are logged, no more:
// the origin's own timeout ends what is left.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "ipc/flow_messages.h"
#include "ipc/route_reader.h"
#include "workers/http/rtc_origin.h"

namespace weir::http {

// A session at an origin.
struct RtcLeftover {
  SessionId session = 0;  // for logs
  Endpoint client;        // the same
  ipc::Role role = ipc::Role::kPlayer;
  std::string key;
  ipc::OriginRef origin;
  Endpoint endpoint;             // of its API
  std::string location;          // path and query there, or the address that is published to
  std::uint64_t created_ms = 0;  // CLOCK_MONOTONIC
  // Of the client's offer, which a DELETE repeats: the origin asks for the same. Empty: none.
  std::string host, authorization;
};

class RtcRemover {
 public:
  // All outlive this. `time_limit_ms`: for each answer of an origin.
  RtcRemover(RtcOrigin& origins, const ipc::StateView& state, std::uint64_t time_limit_ms);
  ~RtcRemover();

  // Begins at once. False: it is over, and `done` is not called.
  bool remove(RtcLeftover what, std::function<void()> done);
  // A session has ended here in another way than by DELETE: its origin is told.
  void on_flow_abandoned(const ipc::FlowAbandoned& message);

 private:
  struct Removal;

  Removal& add(RtcLeftover what, std::function<void()> done);
  bool begin(Removal& removal);
  bool search(Removal& removal, std::size_t from);
  bool ask(Removal& removal, Method method, std::string target, std::string_view fields);
  void on_outcome(std::uint64_t id, RtcOrigin::Outcome&& outcome);
  bool after(Removal& removal, RtcOrigin::Outcome&& outcome);
  bool on_page(Removal& removal, const CollectedResponse& page);
  void finish(std::uint64_t id);
  void start_queued();
  void start(const ipc::FlowAbandoned& message);
  std::string origin_text(const Removal& removal) const;

  RtcOrigin& origins_;
  const ipc::StateView& state_;
  std::uint64_t time_limit_ms_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Removal>> removals_;
  std::uint64_t last_id_ = 0;
  std::deque<ipc::FlowAbandoned> queue_;  // not begun yet
  std::size_t abandoned_ = 0;             // under way, of those
};

}  // namespace weir::http
