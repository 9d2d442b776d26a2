// One SRT connection that is being set up: its handshake (srt_session.h) and how far the I/O around
// it has come. Owner: DialTable, from the conclusion with a right cookie until nobody will repeat a
// handshake of it any more.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "ipc/flow_messages.h"
#include "workers/core/hook_client.h"
#include "workers/core/player_search.h"
#include "workers/core/udp_flow.h"
#include "workers/srt/srt_session.h"

namespace weir::srt {

enum class DialStage : std::uint8_t {
  kAsking,    // the operator's own server is asked (hooks)
  kBounded,   // a bound of section search stands against a player of an unknown stream
  kRouting,   // the master is asked for an origin
  kCreating,  // the master makes the session
  kClaiming,  // the master makes the socket to the origin
  kDialing,   // the origin is spoken to
  kDone,      // established or rejected; kept for repeated handshakes
};

struct Dial {
  Dial(const SessionOptions& options, const ClientPacket& packet, std::uint32_t caller_id,
       std::uint64_t now_ms)
      : handshake(options, packet.bytes, packet.key.address, now_ms),
        key{packet.key.address, caller_id},
        from(packet),
        started_ms(now_ms) {
    from.key.id = 0;
    from.bytes = {};
  }

  Session handshake;
  ClientKey key;      // the client's address and its own socket id
  ClientPacket from;  // where its answers go; without bytes
  SessionId id = 0;
  DialStage stage = DialStage::kAsking;
  HookClient::Ticket hook = 0;  // kAsking
  bool let_in = false;          // its end is to be told, by us unless the master has the session
  std::uint32_t request = 0;    // the master's answer that is awaited
  ipc::FlowRef ref;             // of the session at the present origin; none yet if slot is kNoSlot
  std::uint32_t flow = kNoFlow;
  ipc::OriginRef origin;
  Endpoint endpoint;  // of the origin
  std::vector<ipc::OriginRef> failed;
  PlayerSearch::Hunt hunt;     // of a player of a stream that nobody knows
  std::uint64_t again_ms = 0;  // kBounded: until then
  std::uint64_t started_ms = 0;
  std::uint64_t done_ms = 0;
  std::uint64_t due_ms = 0;  // DialTable's; 0: not scheduled
};

inline PlayerSearch::Player searching_player(const Dial& dial) {
  const Session& handshake = dial.handshake;
  return {dial.id, dial.key.address, handshake.key().text, handshake.stream_id()};
}

inline ipc::Role role_of(const Dial& dial) {
  return dial.handshake.mode() == Mode::kPublish ? ipc::Role::kPublisher : ipc::Role::kPlayer;
}

}  // namespace weir::srt
