// One session of WebRTC or SRT as the worker that owns it sees it, and what the relay and a
// protocol tell each other about packets (docs/UDP.md). Plain values; owner: UdpRelay.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/fd.h"
#include "common/base/hash.h"
#include "ipc/flow_messages.h"

namespace weir {

// What the table of local flows is searched by: the client's address, and for protocols that have
// several sessions behind one address a number from the packet (SRT: the destination socket id).
struct ClientKey {
  Endpoint address;
  std::uint32_t id = 0;
  friend bool operator==(const ClientKey&, const ClientKey&) = default;
};

struct ClientKeyHash {
  HashSeed seed;
  std::size_t operator()(const ClientKey& key) const {
    char bytes[sizeof key.address.ip + 6];
    std::memcpy(bytes, key.address.ip, sizeof key.address.ip);
    std::memcpy(bytes + sizeof key.address.ip, &key.address.port, 2);
    std::memcpy(bytes + sizeof key.address.ip + 2, &key.id, 4);
    return static_cast<std::size_t>(keyed_hash(seed, {bytes, sizeof bytes}));
  }
};

// One packet of a client.
struct ClientPacket {
  ClientKey key;
  Endpoint local;            // where it was sent to
  std::uint16_t socket = 0;  // the slot socket that it came by
  ByteView bytes;
};

// One way to the client that it has proven: ICE tries several before it settles for one.
struct UdpClientPath {
  ClientKey key;
  Endpoint local;
  std::uint16_t socket = 0;
  std::uint64_t packet_ms = 0;  // last packet
  std::uint64_t proof_ms = 0;   // last proof; 0: taken over from the session table
};

inline constexpr std::size_t kClientPaths = 3;
inline constexpr std::uint8_t kNoPath = 0xFF;
inline constexpr std::uint8_t kTcpPath = 0xFE;  // the protocol's to_tcp()
inline constexpr std::uint8_t kTaken = 0xFD;    // the packet was for the protocol itself
inline constexpr std::uint32_t kNoFlow = 0xFFFFFFFF;

struct UdpFlow {
  bool used = false;
  std::uint32_t generation = 0;  // of this entry; stays when it is free
  ipc::FlowRef ref;
  SessionId session = 0;
  ipc::Role role = ipc::Role::kPlayer;
  ipc::FlowTransport transport = ipc::FlowTransport::kUdp;
  ipc::OriginRef origin;
  Endpoint origin_endpoint;
  std::string key;  // of the stream
  UniqueFd upstream;
  std::array<UdpClientPath, kClientPaths> paths;
  std::uint8_t path_count = 0;
  std::uint8_t current = kNoPath;  // where the origin's packets go
  bool media_seen = false;         // more than special packets has come from the client
  bool client_spoke = false;       // a packet of the client was forwarded by this worker
  bool recorded = true;            // the session table has the current path
  bool watched = false;            // its upstream socket is in the event set
  bool segment_up = true;          // UDP_SEGMENT works towards the origin
  bool segment_down = true;        // and towards the client
  std::uint64_t created_ms = 0;    // by the signalling
  std::uint64_t client_ms = 0;     // last packet of either side
  std::uint64_t origin_ms = 0;
  std::uint64_t stun_ms = 0;           // last proof; SRT: last control packet
  std::uint64_t refused_since_ms = 0;  // the origin's port is closed since then; 0: it is not
  std::uint64_t reported_ms = 0;       // activity that the master knows of
  std::uint32_t rtt_us = 0;            // SRT: between the ends, as a receiver told last
  std::uint32_t rtt_variance_us = 0;
  std::uint32_t srt_caller_id = 0;  // the client's socket id
  ipc::FlowCounters total;
  ipc::FlowCounters reported;

  // Where the origin's packets go.
  std::uint8_t media_path() const {
    return transport == ipc::FlowTransport::kTcp ? kTcpPath : current;
  }
  const UdpClientPath* client() const { return current == kNoPath ? nullptr : &paths[current]; }
};

// How a session ended here. `reason` is what the master hears, `why` is for log and metrics.
struct UdpEnd {
  ipc::FlowEndReason reason = ipc::FlowEndReason::kIdle;
  std::string_view why;
};

// What a protocol adds to the relay. Called from within the relay's work: must not end flows in
// inspect() and path_of().
class UdpProtocol {
 public:
  UdpProtocol() = default;
  UdpProtocol(const UdpProtocol&) = delete;
  UdpProtocol& operator=(const UdpProtocol&) = delete;
  virtual ~UdpProtocol() = default;

  // ClientKey::id of a client's packet; 0 when the address alone tells.
  virtual std::uint32_t client_id(ByteView packet) const = 0;
  // Whether packets with this first byte need inspect() or path_of(); all others are forwarded.
  virtual bool special(std::uint8_t first_byte) const = 0;
  // A special packet of a client; `flow` is the one at its key, or kNoFlow. True: forward it there.
  virtual bool inspect(const ClientPacket& packet, std::uint32_t flow) = 0;
  // Any other packet whose key no flow here has.
  virtual void on_stranger(const ClientPacket& packet) = 0;
  // A special packet of the origin: the path that it goes to, kTcpPath, kTaken, or kNoPath to
  // drop it.
  virtual std::uint8_t path_of(std::uint32_t flow, ByteView packet) = 0;
  // A packet for the client by TCP. False: there was no room for it.
  virtual bool to_tcp(std::uint32_t flow, ByteView packet) = 0;
  // The flow is here now; and: it is about to be forgotten. Moved ones are told too.
  virtual void on_begin(std::uint32_t flow) = 0;
  virtual void on_end(std::uint32_t flow, const UdpEnd& end) = 0;
  // The origin's host says that its port is closed (UdpFlow::refused_since_ms). Must not end flows.
  virtual void on_unreachable(std::uint32_t) {}
  // The claim with this request number came to nothing.
  virtual void on_refused(std::uint32_t request, ipc::FlowStatus status) = 0;
};

}  // namespace weir
