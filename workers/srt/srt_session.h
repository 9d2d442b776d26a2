// The handshake of one SRT connection through Weir: datagrams in, datagrams and orders out. Pure
// (no fd, clock or libevent): the time comes in as milliseconds of one steady clock. SrtDialer
// does the I/O. draft-sharabayko-srt-01, 4.3; docs/UDP.md.
//
// Two parts, so that a made-up address costs nothing:
//   Doorman  stateless: answers inductions with a cookie, and says of a conclusion whether its
//            cookie is right. Never answers with more bytes than came.
//   Session  made for a conclusion with a right cookie. Repeats the caller's handshake to the
//            origin: an induction of its own for the origin's cookie, then the caller's
//            conclusion with that cookie. Socket ids, first sequence number and every extension but
//            the stream id stay, so encryption, latency, packet filter and groups are agreed on by
//            the two ends. The stream id goes on in the one form that Weir understood, and what no
//            listener should see (conclusion.h) does not go on at all.
//
//   kRouteWanted -> kInduction -> kConclusion -> kEstablished
//        ^               |
//        |               v
//        +-- kOriginFailed (another origin may be tried)      any but kEstablished -> kRejected
//
// Once the origin has answered the induction it has shown that it is there. What it says, or does
// not say, to the client's own words is that client's: no other origin gets to hear them, unless
// the client searches() and the origin says that it lacks the stream.
//
// How the I/O side drives Session:
//   1. After every call send to_client() and to_origin(), if not empty, and call clear_output().
//   2. kRouteWanted: find the origin for key() and mode(), get the upstream socket, call
//      start_origin(). No origin: reject().
//   3. kOriginFailed: start_origin() with another one, or reject(). failure() says why. Of one that
//      has said no to a client that searches: start_origin(), or pass_rejection().
//   4. Call on_time() at wake_at().
//   5. kEstablished: relay packets of caller_id() and listener_id(). Keep the session until the
//      client has sent something to listener_id(): its conclusion may be repeated.
//      kRejected: keep it as long as a caller repeats its conclusion (a few seconds).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/endpoint.h"
#include "common/base/hash.h"
#include "common/proto/srt/packet.h"
#include "common/proto/srt/stream_id.h"
#include "common/route/alias.h"
#include "common/route/stream_key.h"

namespace weir::srt {

enum class Failure : std::uint8_t {
  kNone,
  // Of the client's handshake.
  kMalformed,    // not a handshake, or one that makes no sense
  kBadCookie,    // a conclusion that follows no induction of ours, or comes too late
  kHsv4,         // libsrt before 1.3
  kRendezvous,   // both ends would have to call
  kBadStreamId,  // failure_detail() says what is wrong with it
  kBadMode,      // m= is neither publish nor request
  kBadStreamKey,
  kBadConclusion,  // a value that an origin must not see; failure_detail() names it and its limits
  // Of the origin's.
  kOriginSilent,
  kOriginUnreachable,  // its host says that nobody is there
  kOriginMalformed,
  kOriginOld,       // HSv4
  kOriginRejected,  // it said no; reject_code() is its word, passed on unless the state is
                    // kOriginFailed
  kRefused,         // reject() was called
};
std::string_view to_string(Failure failure);  // snake_case, for logs and metric labels

// ---- the stateless part

struct DoormanOptions {
  HashSeed seed;                 // of the cookies; the same in every worker
  std::uint16_t encryption = 0;  // the key length that answers to inductions advertise
};

enum class Entry : std::uint8_t {
  kIgnored,     // no answer; failure() of it may be worth counting
  kAnswered,    // send `answer`: induction, or a rejection
  kConclusion,  // a conclusion of version 5 with a right cookie, from `caller_id`
};
struct Admission {
  Entry entry = Entry::kIgnored;
  Failure failure = Failure::kNone;
  std::uint32_t caller_id = 0;
  ByteView answer;                     // within the buffer that was given
  std::uint32_t initial_sequence = 0;  // of a conclusion
};

// What to do with a handshake of a client that is addressed to no established session. `buffer`:
// REQUIRES kHandshakeBytes.
Admission admit(const DoormanOptions& options, ByteView datagram, const Endpoint& client,
                std::uint64_t now_ms, MutableBytes buffer);

// ---- one connection

// What an origin's rejection says of a stream that nobody knows.
enum class Denial : std::uint8_t {
  kNone,        // it is about the caller, or its words
  kNotFound,    // it lacks the stream
  kUnsaid,      // no reason, or one that may be the stream's
  kOverloaded,  // it cannot say
};
Denial denial_of(std::uint32_t reject_code);

enum class SessionState : std::uint8_t {
  kRouteWanted,
  kInduction,     // the origin's cookie is awaited
  kConclusion,    // the origin's word is awaited
  kEstablished,   // the client has the origin's answer
  kOriginFailed,  // failure(); nothing of this origin has reached the client
  kRejected,      // failure() and reject_code(); the client has been told
};
std::string_view to_string(SessionState state);

struct SessionOptions {
  StreamIdDefaults stream_id;
  const route::Aliases* aliases = nullptr;    // the key's; the origin gets the name that was asked
  std::uint64_t resend_ms = 250;              // as callers do
  std::uint64_t origin_timeout_ms = 1000;     // for one origin's first word
  std::uint64_t handshake_timeout_ms = 5000;  // for all; a caller waits for 3 s
};

class Session {
 public:
  // REQUIRES: admit() has said kConclusion of this datagram. The state is kRouteWanted, or
  // kRejected if the stream id is not one.
  Session(const SessionOptions& options, ByteView conclusion, const Endpoint& client,
          std::uint64_t now_ms);

  // Another conclusion of the same client, socket id and first sequence number that admit() let
  // pass: answered as the first one was, or noted.
  void on_client_conclusion(ByteView datagram, std::uint64_t now_ms);
  // There is a socket to the origin at `origin`. REQUIRES: kRouteWanted or kOriginFailed.
  void start_origin(const Endpoint& origin, std::uint64_t now_ms);
  // A datagram from the origin. REQUIRES: start_origin() was called. What is no answer to the
  // handshake is ignored, also in kEstablished.
  void on_origin_packet(ByteView datagram, std::uint64_t now_ms);
  // The host of the origin reports that its port is closed. Of no account once it has said yes.
  void on_origin_unreachable(std::uint64_t now_ms);
  // Sends again what was not answered, gives up an origin that stays silent.
  void on_time(std::uint64_t now_ms);
  // When on_time() has something to do; empty if nothing is awaited.
  std::optional<std::uint64_t> wake_at() const;
  // Another origin may have the stream where one says that it lacks it.
  void search() { searches_ = true; }
  // No other one is asked: the client gets that no. REQUIRES: kOriginFailed with kOriginRejected.
  void pass_rejection(std::uint64_t now_ms);
  // There is no origin, or another reason to say no. REQUIRES: not kEstablished or kRejected.
  void reject(Reject code, std::uint64_t now_ms);

  // One datagram each, or nothing.
  ByteView to_client() const { return to_client_; }
  ByteView to_origin() const { return to_origin_; }
  void clear_output();

  SessionState state() const { return state_; }
  Failure failure() const { return failure_; }
  std::string_view failure_detail() const { return failure_detail_; }
  std::uint32_t reject_code() const { return reject_code_; }  // on the wire: 1000 and more
  const route::StreamKey& key() const { return key_; }
  Mode mode() const { return mode_; }
  // As the client sent it; log it escaped.
  const std::string& stream_id() const { return stream_id_; }
  std::uint32_t initial_sequence() const { return caller_.initial_sequence; }
  // The encryption field of the origin's answer to the induction; empty before.
  std::optional<std::uint16_t> origin_encryption() const { return origin_encryption_; }
  std::string_view user() const { return user_; }
  std::string_view parameters() const { return parameters_; }  // StreamId::rest
  std::uint32_t caller_id() const { return caller_.socket_id; }
  std::uint32_t listener_id() const { return listener_id_; }  // 0 before kEstablished

 private:
  using Bytes = std::vector<std::uint8_t>;

  void read_stream_id(std::uint64_t now_ms);
  void write_stream_id(StreamId& id, std::uint64_t now_ms);
  void refuse(Failure failure, std::string_view detail, Reject code, std::uint64_t now_ms);
  void fail_origin(Failure failure, std::uint64_t now_ms);
  void send_induction(std::uint64_t now_ms);
  void send_conclusion(std::uint64_t now_ms);
  void take_rejection(ByteView datagram, const Handshake& answer, std::uint64_t now_ms);
  void take_origin_induction(const Handshake& answer, std::uint64_t now_ms);
  void take_origin_conclusion(ByteView datagram, const Handshake& answer, std::uint64_t now_ms);
  void keep_answer(ByteView datagram, std::uint64_t now_ms);
  void answer_client(std::uint64_t now_ms);
  std::uint32_t client_time(std::uint64_t now_ms) const;

  const SessionOptions options_;
  const Endpoint client_;
  SessionState state_ = SessionState::kRouteWanted;
  Failure failure_ = Failure::kNone;
  std::string failure_detail_;
  std::uint32_t reject_code_ = 0;
  bool searches_ = false;
  Bytes rejection_;  // of an origin, held

  Handshake caller_;  // of the conclusion, without views
  Bytes asked_;       // the conclusion as it came; both are freed when the origin has answered
  Bytes conclusion_;  // as it goes on
  std::uint64_t conclusion_at_ms_ = 0;
  std::uint64_t started_ms_ = 0;
  std::string stream_id_;
  std::string user_;
  std::string parameters_;
  Mode mode_ = Mode::kRequest;
  route::StreamKey key_;

  Endpoint origin_;
  std::uint32_t origin_cookie_ = 0;
  std::optional<std::uint16_t> origin_encryption_;
  std::uint32_t listener_id_ = 0;
  std::uint64_t resend_at_ms_ = 0;
  std::uint64_t give_up_at_ms_ = 0;

  Bytes answer_;  // what the client was told, for repeated conclusions
  std::uint64_t answer_at_ms_ = 0;
  Bytes to_client_;
  Bytes to_origin_;
};

}  // namespace weir::srt
