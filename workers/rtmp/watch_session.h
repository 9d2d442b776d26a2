// StreamWatch: looks for the end of the stream that an RTMP session was opened for, in the one
// direction that has few bytes: of a player what it asks, of a publisher what it is answered. So a
// client that goes on to another stream on the same connection is noticed (its session ends, and it
// connects again), and media still needs no parser. Owner: the session. Pure; holds one
// ChunkParser.
#pragma once

#include <string>
#include <string_view>

#include "workers/rtmp/session_types.h"

namespace weir::rtmp {

// What a client asks once its stream has been named as `wanted`. True: that is another stream, or,
// of a player that has been `started`, the end of this one.
bool leaves_stream(const Command& asked, const RouteWanted& wanted, bool started);
// What an origin says to a publisher that has started: that its stream has ended, or another begun.
bool ends_stream(const Command& said);

class StreamWatch {
 public:
  // Of the player's side. `parser` has read all up to here.
  static StreamWatch of_player(ChunkParser&& parser, const RouteWanted& wanted);
  // Of the side of a publisher's origin.
  static StreamWatch of_publisher(ChunkParser&& parser);

  bool of_client() const { return player_; }  // the direction to feed: client -> origin or back
  // False: the stream is over, see failure(). What was fed belongs to it still.
  bool feed(ByteView in);
  Failure failure() const { return failure_; }

 private:
  StreamWatch(ChunkParser&& parser, bool player);

  ChunkParser parser_;
  bool player_ = false;
  Failure failure_ = Failure::kNone;
  RouteWanted wanted_;  // of a player
};

}  // namespace weir::rtmp
