// The state of one RTMP client in a worker. Owner: RtmpWorker's table; referred to by handle
// {index, generation}, never by pointer across event-loop turns.
//
// Two parts: Preamble is what it takes until bytes can be moved in the kernel (buffers, the
// protocol session, both sockets). It is freed at that moment; Conn, some 150 bytes, the stream key
// and the watch, is what an established session costs this process, besides its slot in the
// SpliceRelay.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "ipc/messages.h"
#include "workers/core/access_logger.h"
#include "workers/core/hook_client.h"
#include "workers/core/origin_dialer.h"
#include "workers/core/player_search.h"
#include "workers/core/side.h"
#include "workers/core/splice_relay.h"
#include "workers/core/tcp_worker.h"
#include "workers/rtmp/rtmp_session.h"

namespace weir::rtmp {

struct Leg : Side {
  bool eof = false;
  bool fin_sent = false;
};

//   kNaming -> kAsking -> (kBounded) -> kDialing -> kTalking -> (SpliceRelay)      any -> kClosing
enum class Stage : std::uint8_t {
  kNaming,   // handshake and commands with the client; deadline handshake_timeout
  kAsking,   // asked the operator's own server (hooks)
  kBounded,  // a bound of section search stands against a player of an unknown stream: once more
             // at the deadline
  kDialing,  // OriginDialer has it; then the handshake with the origin, deadline dial_timeout
  kTalking,  // the origin has the replay; deadline answer_timeout until it has answered
  kClosing,  // a last word to the client is being written, then its end awaited; linger_timeout
};

struct Preamble {
  explicit Preamble(const HandshakeCrypto& crypto) : session(crypto) {}

  Session session;
  Stage stage = Stage::kNaming;
  bool opened = false;            // SessionOpen was sent
  bool origin_spoke = false;      // the origin that is dialed has sent a byte
  bool rejected = false;          // the origin has refused connect
  HookClient::Ticket hook = 0;    // kAsking
  OriginDialer::Ticket dial = 0;  // kDialing
  PlayerSearch::Hunt hunt;        // while the session holds
  std::string words;              // all that a player says of its stream, for that
  std::uint64_t deadline_ms = 0;  // of the stage, 0: none
  std::uint64_t last_move_ms = 0;
  EndReason closing_reason = EndReason::kError;
  std::array<Leg, 2> side;       // 0 client, 1 origin
  std::uint32_t list_index = 0;  // in RtmpWorker::preambles_
};

struct Conn {
  SessionId id = 0;
  std::uint32_t generation = 0;
  bool used = false;
  bool named = false;  // it said which stream it wants, and as what
  bool publisher = false;
  bool searched = false;  // its origin was found by a search, and has not shown yet that it has it
  SpliceRelay::Id relay = SpliceRelay::kNone;
  ipc::OriginRef origin;  // that it has, or had last
  Endpoint endpoint;      // of that origin
  Endpoint client;
  std::uint64_t accepted_ms = 0;
  std::uint64_t first_byte_ms = 0;  // when the client was sent media, or a publisher its answer
  std::uint64_t bytes_from_client = 0;
  std::uint64_t bytes_to_client = 0;
  std::string key;
  std::unique_ptr<AccessTexts> texts;  // for the access log
  std::unique_ptr<HookEvent> stop;     // what the operator's server is told at the end
  std::unique_ptr<Preamble> preamble;
  std::unique_ptr<StreamWatch> watch;  // in the relay
};

// What the client asked for, for its line in the access log.
void remember(Conn& conn);

}  // namespace weir::rtmp
