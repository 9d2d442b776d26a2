// The protocol half of one RTMP client: bytes in, bytes and orders out. Pure (no fd, clock,
// libevent or OpenSSL); rtmp_conn does the I/O. One object a session, one owner; freed as soon as
// both directions are raw, so an established session costs nothing here.
//
//   kHandshake -> kCommands -> kRouteWanted -> kOriginHandshake -> kReplay -> kAnswers -> kRelay
//                                  ^  dial failed: reset_origin()  |  |
//                                  +-------------------------------+--+       any -> kFailed
//
// Towards the client it is a server until publish or play names the stream; every byte after C2 is
// kept. Towards the origin it is a client that replays those bytes verbatim; answers that the
// client already has are dropped, the rest passes. RTMP 1.0; docs/LIFE_OF_A_STREAM.md.
//
// How the I/O side drives it:
//   1. Feed bytes of either side. After every call write out and clear to_client() and to_origin(),
//      also in kFailed (there may be a last word to the client), then look at the rest.
//   2. state() == kRouteWanted: dial an origin for wanted().key; on connect on_origin_connected().
//      If the dial or the origin fails: can_reset() ? reset_origin() and dial another : refuse().
//   3. Read the client only while want_client_bytes().
//   4. client_raw(): move client -> origin bytes in the kernel, feed no more of them.
//      origin_raw(): the same for origin -> client. Each is final; both: destroy the session.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/proto/rtmp/handshake.h"
#include "common/route/stream_key.h"

namespace weir::rtmp {

enum class State : std::uint8_t {
  kHandshake,        // with the client
  kCommands,         // connect, createStream... answered here
  kRouteWanted,      // wanted() is filled in; the I/O side dials
  kOriginHandshake,  // on_origin_connected() was called
  kReplay,           // connect is sent, then all before publish/play: each waits for its answers
  kAnswers,          // publish/play is sent; waits for the origin's word on it
  kRelay,            // the origin has answered; parsed until raw
  kFailed,           // failure() says why; to_client() may hold a last message
};
std::string_view to_string(State state);

enum class Failure : std::uint8_t {
  kNone,
  kBadHandshake,
  kBadChunk,
  kChunkStreamsLimit,
  kMessageTooLarge,
  kBadAmf,
  kPreambleLimit,
  kCommandsLimit,
  kBadStreamKey,
  kUnsupportedCommandOrder,
  kOriginBadHandshake,  // this one to kOriginBadAmf: the origin's fault
  kOriginBadChunk,
  kOriginChunkStreamsLimit,
  kOriginMessageTooLarge,
  kOriginBadAmf,  // an answer that the replay waits for makes no sense
  kRefused,       // refuse() was called
};
std::string_view to_string(Failure failure);  // snake_case, for logs and metric labels

enum class Role : std::uint8_t { kPublisher, kPlayer };

// Valid from kRouteWanted on. Texts are as the client sent them (with queries): log them escaped.
struct RouteWanted {
  Role role = Role::kPlayer;
  route::StreamKey key;
  std::string tc_url;
  std::string flash_ver;  // this and page_url are for logs only, and cut
  std::string page_url;
  std::string app;
  std::string stream;
};

// May be set lower than the ceilings in limits.h, not higher.
struct SessionLimits {
  std::size_t preamble_bytes = limits::kRtmpPreambleBytes;
  std::size_t command_bytes = limits::kRtmpCommandBytes;
  std::size_t chunk_streams = limits::kRtmpChunkStreams;
  std::size_t commands = 64;  // messages that we answer or skip before publish/play
};

class Session {
 public:
  // REQUIRES: the functions in `crypto` outlive the session.
  explicit Session(const HandshakeCrypto& crypto, const SessionLimits& session_limits = {});
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Bytes from the client. REQUIRES: !client_raw(). While !want_client_bytes() more is accepted
  // (it is buffered), so what one read returned never has to be given back.
  void on_client_bytes(ByteView bytes);
  // A connection to an origin stands. REQUIRES: state() == kRouteWanted. Starts the handshake.
  void on_origin_connected(const ClientHandshakeOptions& options);
  // Bytes from the origin. REQUIRES: !origin_raw(), on_origin_connected() was called.
  void on_origin_bytes(ByteView bytes);

  // Nothing of the origin has reached the client and the replay is still whole. True in kFailed
  // too, if it was the origin that broke the protocol.
  bool can_reset() const;
  // Forgets the origin: back to kRouteWanted. Empties to_origin(). REQUIRES: can_reset().
  void reset_origin();
  // There is no origin (or another reason to say no): a last word to the client, then kFailed with
  // kRefused. `code` empty: NetStream.Play.StreamNotFound or NetStream.Publish.Denied by role,
  // NetConnection.Connect.Rejected before publish/play.
  void refuse(std::string_view code, std::string_view description);

  // Output, appended to; the I/O side writes it out and clears or swaps it.
  std::vector<std::uint8_t>& to_client();
  std::vector<std::uint8_t>& to_origin();

  State state() const;
  Failure failure() const;
  std::string_view failure_detail() const;  // a few words more for the log, may be empty
  // REQUIRES: state() is kRouteWanted or later.
  const RouteWanted& wanted() const;
  bool want_client_bytes() const;
  // All that was fed has come out, in order; from here on bytes may be moved unparsed.
  bool client_raw() const;
  bool origin_raw() const;
  // The origin's onStatus (not an error) or its first media message has passed.
  bool origin_answered() const;
  // A media message of the origin has passed.
  bool media_passed() const;
  // The origin said no (_error, onStatus error, rejected connect); its words have passed.
  bool origin_refused() const;
  // The origin's stream ids differ from those that the client was told: never raw.
  bool patching() const;
  // Memory held in buffers, for the accounting of limits and for tests.
  std::size_t buffered_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::rtmp
