// RtcRemover: sessions that an origin has made and nobody uses (any more) are ended there.
//
//   WHIP, WHEP           DELETE what its Location named
//   SRS's JSON, publish  names no such address: the publisher is looked for among the clients that
//                        the origin's API tells, by the address that it publishes to, and kicked.
//                        One address has one publisher; a later one than ours is left alone
//   SRS's JSON, play     is left to the origin's timeout: nobody waits for its place, and it cannot
//                        be told from other players
//
// Owner: RtcSignal, of which its calls are.
#pragma once

#include <cstddef>
#include <deque>
#include <string_view>

#include "workers/http/rtc_signal.h"

namespace weir::http {

class RtcRemover {
 public:
  using Call = RtcSignal::Call;

  explicit RtcRemover(RtcSignal& signal) : signal_(signal) {}

  // The origin has made a session that nobody can use: the client, if it waits, is told so.
  void give_up(Call& call, int status, std::string_view why);
  // Nobody waits for this call any more.
  void remove_at_origin(Call& call);
  // A session has ended here in another way than by DELETE.
  void on_flow_abandoned(const ipc::FlowAbandoned& message);
  // The origin has told its clients (Call::searching).
  void on_publishers(Call& call);
  // A call with Call::removal is over.
  void on_finished();

 private:
  void begin_removal(Call& call, std::string_view fields);
  void find_publisher(Call& call, std::size_t from);
  void start_removals();
  void start_removal(const ipc::FlowAbandoned& message);

  RtcSignal& signal_;
  std::deque<ipc::FlowAbandoned> removals_;  // not begun yet
  std::size_t removing_ = 0;
  bool starting_removals_ = false;
};

}  // namespace weir::http
