// The protocol side of one RTMP client: bytes in, bytes and orders out. Pure (no fd, clock,
// libevent or OpenSSL); RtmpWorker does the I/O. One object a session, one owner; freed as soon as
// both directions are raw: an established session costs a StreamWatch (watch_session.h).
//
//   kHandshake -> kCommands -> kRouteWanted -> kOriginHandshake -> kReplay -> kAnswers -> kRelay
//                                  ^  dial failed: reset_origin()  |  |
//                                  +-------------------------------+--+       any -> kFailed
//
// Two halves do the work: ServerHalf (server_session.h) is a server to the client until publish or
// play names the stream, ReplayHalf (replay_session.h) a client to the origin. RTMP 1.0;
// docs/LIFE_OF_A_STREAM.md.
//
// How the I/O side drives it:
//   1. Feed bytes of either side. After every call write out and clear to_client() and to_origin(),
//      also in kFailed (there may be a last word to the client), then look at the rest.
//   2. state() == kRouteWanted: dial an origin for wanted().key; on connect on_origin_connected().
//      If the dial or the origin fails: can_reset() ? reset_origin() and dial another : refuse().
//   3. Read the client only while want_client_bytes().
//   4. If another origin could have the stream when one says no: hold() before the first dial. Then
//      nothing of an origin reaches the client before its yes, and can_reset() until then; on its
//      no reset_origin() and dial another, or pass_on().
//   5. ready_for_relay(): take_watch(), destroy the session and move bytes in the kernel; only the
//      watch's direction is still looked at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/proto/rtmp/handshake.h"
#include "workers/rtmp/replay_session.h"
#include "workers/rtmp/server_session.h"
#include "workers/rtmp/session_types.h"
#include "workers/rtmp/watch_session.h"

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

class Session {
 public:
  // REQUIRES: the functions in `crypto` outlive the session.
  explicit Session(const HandshakeCrypto& crypto, const SessionLimits& session_limits = {});
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Bytes from the client. While !want_client_bytes() more is accepted (it is buffered), so what
  // one read returned never has to be given back.
  void on_client_bytes(ByteView bytes);
  // A connection to an origin stands. REQUIRES: state() == kRouteWanted. Starts the handshake.
  void on_origin_connected(const ClientHandshakeOptions& options);
  // Bytes from the origin. REQUIRES: on_origin_connected() was called.
  void on_origin_bytes(ByteView bytes);

  // Nothing of the origin is the client's yet, so another may be tried: it has not shaken hands, or
  // its word on this client is held. True in kFailed too, if that is what it broke.
  bool can_reset() const;
  // Forgets the origin: back to kRouteWanted. REQUIRES: can_reset().
  void reset_origin();
  // REQUIRES: state() == kRouteWanted.
  void hold() { holds_ = true; }
  bool holds() const { return holds_; }
  // What was held is the client's, whatever the origin has said: an end to holding.
  void pass_on();
  // What the origin has said of what it was asked.
  ReplayHalf::Word word() const { return replay_ ? replay_->word() : ReplayHalf::Word::kNone; }
  // There is no origin (or another reason to say no): a last word to the client, then kFailed with
  // kRefused. `code` empty: NetStream.Play.StreamNotFound or NetStream.Publish.Denied by role,
  // NetConnection.Connect.Rejected before publish/play.
  void refuse(std::string_view code, std::string_view description);

  // Output, appended to; the I/O side writes it out and clears or swaps it.
  Bytes& to_client() { return before_ ? before_->out : view_.out; }
  Bytes& to_origin() { return replay_ ? replay_->to_origin() : to_origin_; }

  State state() const;
  Failure failure() const;
  std::string_view failure_detail() const;  // a few words more for the log, may be empty
  // REQUIRES: state() is kRouteWanted or later.
  const RouteWanted& wanted() const { return server_.wanted(); }
  bool want_client_bytes() const;
  // From here on this direction passes as it is.
  bool client_raw() const { return replay_ && replay_->client_raw(); }
  bool origin_raw() const { return replay_ && replay_->origin_raw(); }
  // Both do, and all that was fed has come out.
  bool ready_for_relay() const {
    return client_raw() && origin_raw() && failure() == Failure::kNone;
  }
  std::unique_ptr<StreamWatch> take_watch() { return replay_->take_watch(); }
  // The origin's onStatus (not an error) or its first media message has passed.
  bool origin_answered() const { return replay_ && replay_->answered(); }
  // The origin has sent the client more than its answer.
  bool media_passed() const { return replay_ && replay_->media(); }
  // The origin said no (_error, onStatus error, rejected connect); its words have passed. A refused
  // publish or play may be asked again and answered.
  bool origin_refused() const { return replay_ && replay_->refused(); }
  // The origin's stream ids differ from those that the client was told: never raw.
  bool patching() const { return replay_ && replay_->renumbers(); }
  // Memory held in buffers, for the accounting of limits and for tests.
  std::size_t buffered_bytes() const;

 private:
  HandshakeCrypto crypto_;
  SessionLimits limits_;
  ClientView view_;
  ServerHalf server_;
  std::unique_ptr<ReplayHalf> replay_;
  Bytes to_origin_;  // while there is no replay
  bool holds_ = false;
  std::optional<ClientView> before_;  // what an origin has said is held: the view without it
  bool refused_ = false;
  std::string refusal_;  // its code
};

}  // namespace weir::rtmp
