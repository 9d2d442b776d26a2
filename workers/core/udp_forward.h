// UdpForwarder: moves the packets of a worker's sessions, in batches. A readable slot socket gives
// packets of many clients; those of one session go to its origin in one call. A readable upstream
// socket gives packets of one session, which go to its client in one call. Owner: UdpRelay.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/fd.h"
#include "ipc/counters.h"
#include "workers/core/udp_claims.h"
#include "workers/core/udp_flows.h"
#include "workers/core/udp_socket.h"

namespace weir {

// The counters of one protocol.
struct UdpCounters {
  ipc::Counter packets_from_clients, packets_to_clients, bytes_from_clients, bytes_to_clients;
  ipc::Counter drops_up, drops_down, parked, strangers;
  ipc::Counter flows;  // gauge
  ipc::Counter claims, claims_refused, takeovers;
};

struct UdpRelaySettings {
  std::uint64_t delay_ms = 0;         // tick while packets are many; 0: never
  std::uint64_t idle_timeout_ms = 0;  // either side silent for this long
  bool packet_ids = false;            // UdpProtocol::client_id() differs from packet to packet
  UdpCounters counters;
};

// A socket that clients send to.
struct SlotSocket {
  UniqueFd fd;
  Endpoint bound;
  bool watched = false;
};

class UdpForwarder {
 public:
  // All outlive this.
  UdpForwarder(const UdpRelaySettings& settings, UdpProtocol& protocol, UdpFlows& flows,
               UdpClaims& claims, const std::vector<SlotSocket>& sockets, ipc::Counters& counters);

  // A socket has something to read: true when it may have more.
  bool read_clients(std::size_t socket);
  bool read_origin(std::uint32_t index);
  // Packets of a client that waited for its session.
  void resume(const UdpClaims::Claim& claim);
  // One packet of the client to the origin.
  void forward(std::uint32_t flow, ByteView packet);
  // A packet to whoever sent `to`: an answer of the protocol's own.
  void reply(const ClientPacket& to, ByteView packet);

 private:
  struct Upward {
    std::uint32_t flow = kNoFlow;
    UdpPiece piece;
  };

  void sort_batch(std::size_t socket, int count);
  void sort_ids(ClientPacket packet, const UdpPiece& piece);
  void sort_piece(const ClientPacket& packet, const UdpPiece& piece);
  void add_upward(const ClientPacket& packet, const UdpPiece& piece);
  void send_upward();
  void to_origin(UdpFlow& flow, std::span<const UdpPiece> pieces);
  void sort_origin_piece(std::uint32_t index, const UdpPiece& piece);
  void add_downward(std::uint32_t index, std::uint8_t path, const UdpPiece& piece);
  void flush_downward(std::uint32_t index);
  void to_client(std::uint32_t index, std::uint8_t path, std::span<const UdpPiece> pieces);
  void to_tcp(std::uint32_t index, const UdpPiece& piece, UdpSent& sent);
  bool any_special(const UdpPiece& piece) const;

  const UdpRelaySettings settings_;
  UdpProtocol& protocol_;
  UdpFlows& flows_;
  UdpClaims& claims_;
  const std::vector<SlotSocket>& sockets_;
  ipc::Counters& counters_;
  UdpReceiver receiver_;
  UdpSender sender_;
  std::array<bool, 256> special_{};
  std::vector<Upward> upward_;
  std::vector<UdpPiece> pieces_;        // of one flow, to be sent in one call
  std::uint8_t pieces_path_ = kNoPath;  // downward: where they go
  std::uint64_t now_ms_ = 0;            // of the batch at hand
};

}  // namespace weir
