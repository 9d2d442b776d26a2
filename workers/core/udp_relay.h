// UdpRelay: forwards the datagrams of the sessions that this worker owns, both ways, in batches
// (docs/UDP.md). WebRTC and SRT share it; what a packet means is the UdpProtocol's business.
//
// A session comes by FlowAssign: after claim(), or unasked when its former owner has gone; its
// upstream socket is read at once. It goes by FlowRelease, by end(), and all of them by drain().
// Packets that come during a claim wait, bounded. A packet that cannot be sent is dropped and
// counted. Owner: the protocol's worker; one thread; must die before the event base.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/base/hash.h"
#include "common/base/log_budget.h"
#include "ipc/counters.h"
#include "ipc/flow_reader.h"
#include "workers/core/burst_poller.h"
#include "workers/core/event_ptr.h"
#include "workers/core/master_link.h"
#include "workers/core/udp_flow.h"
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

struct UdpClaim {
  ipc::FlowTransport transport = ipc::FlowTransport::kUdp;
  bool first = false;        // nobody has served the session yet
  bool keep_client = false;  // it only comes here: the media goes on to the recorded address
};

class UdpRelay {
 public:
  UdpRelay(event_base* base, const UdpRelaySettings& settings, UdpProtocol& protocol,
           MasterLink& link, const ipc::FlowView& table, ipc::Counters& counters,
           std::vector<UniqueFd> sockets);

  // Begins to read the slot sockets.
  void serve();
  // Gives every UDP session up at once (they live on elsewhere) and stops reading the slot sockets.
  void drain();
  // The last counters, before the process goes.
  void send_stats();
  bool draining() const { return draining_; }

  // The master's messages.
  void on_assign(const ipc::FlowAssign& assign, UniqueFd upstream);
  void on_release(const ipc::FlowRelease& release);

  // The client of `packet` has proven that the session is its own, and it is not here: asks the
  // master for it. The packet, unless it is empty, and what follows it wait. Returns the request's
  // number, 0 when there cannot be one now.
  std::uint32_t claim(ipc::FlowRef ref, const ClientPacket& packet, UdpClaim how = {});
  // For the owner: the client's proven path of `packet`, made if there is none. A key that another
  // session had is this one's from now on.
  std::uint8_t add_path(std::uint32_t flow, const ClientPacket& packet);
  // Takes an address away from a session: somebody else has proven to be there now.
  void drop_path(std::uint32_t index, const ClientKey& key);
  // The origin's packets go there from now on. Nobody is told: another worker after this one begins
  // with the address that the session table has.
  void point_to(std::uint32_t flow, std::uint8_t path);
  // The same, and the master is told.
  void move_client(std::uint32_t flow, std::uint8_t path);
  // The same for a client that has proven itself by a TCP connection from `client`.
  void move_to_tcp(std::uint32_t flow, const Endpoint& client, const Endpoint& local);
  // One packet of the client to the origin.
  void forward(std::uint32_t flow, ByteView packet);
  // Ends a session everywhere.
  void end(std::uint32_t flow, const UdpEnd& end);
  // A packet to whoever sent `to`: an answer of the protocol's own.
  void reply(const ClientPacket& to, ByteView packet);

  std::uint32_t find(ipc::FlowRef ref) const;
  std::uint32_t find(const ClientKey& key);
  UdpFlow& flow(std::uint32_t index) { return flows_[index]; }
  std::size_t size() const { return by_slot_.size(); }
  std::size_t claims() const { return claims_.size(); }

 private:
  struct SlotSocket {
    UniqueFd fd;
    Endpoint bound;
    bool watched = false;
  };
  struct Claim {
    ipc::FlowRef ref;
    ClientPacket from;  // without bytes
    UdpClaim how;
    std::uint64_t started_ms = 0;
    std::size_t bytes = 0;
    std::vector<std::vector<std::uint8_t>> parked;
  };
  struct Upward {
    std::uint32_t flow = kNoFlow;
    UdpPiece piece;
  };

  bool on_ready(std::uint64_t token);
  bool read_clients(std::size_t socket);
  void sort_batch(std::size_t socket, int count);
  void sort_ids(ClientPacket packet, const UdpPiece& piece);
  void sort_piece(const ClientPacket& packet, const UdpPiece& piece);
  void add_upward(const ClientPacket& packet, const UdpPiece& piece);
  void send_upward();
  void to_origin(UdpFlow& flow, std::span<const UdpPiece> pieces);
  bool read_origin(std::uint32_t index);
  void sort_origin_piece(std::uint32_t index, const UdpPiece& piece);
  void add_downward(std::uint32_t index, std::uint8_t path, const UdpPiece& piece);
  void flush_downward(std::uint32_t index);
  void to_client(std::uint32_t index, std::uint8_t path, std::span<const UdpPiece> pieces);
  void to_tcp(std::uint32_t index, const UdpPiece& piece, UdpSent& sent);
  bool any_special(const UdpPiece& piece) const;
  bool park(const ClientPacket& packet, std::size_t segment);
  void unpark(const Claim& claim);
  void drop_assign(const ipc::FlowAssign& assign, const Claim& claim, bool has_socket);
  std::uint32_t adopt(const ipc::FlowAssign& assign, const ipc::FlowRecord& record,
                      UniqueFd upstream);
  bool send_claim(std::uint32_t request, ipc::FlowRef ref, const ClientPacket& from, UdpClaim how);
  void forget_key(const ClientKey& key, std::uint32_t index);
  void forget(std::uint32_t index);
  std::uint16_t socket_for(const Endpoint& local) const;
  static bool add_row(UdpFlow& flow, ipc::FlowStats& message);
  void watch_slots();
  void watch(std::uint32_t index);
  bool watch_again(std::uint32_t index, std::uint64_t now);
  void on_second();
  void check_idle(std::uint32_t index, std::uint64_t now);
  void expire_claims(std::uint64_t now);
  void remove_claim(std::uint32_t request);

  UdpRelaySettings settings_;
  UdpProtocol& protocol_;
  MasterLink& link_;
  const ipc::FlowView& table_;
  ipc::Counters& counters_;
  BurstPoller poller_;
  EventPtr timer_;
  UdpReceiver receiver_;
  UdpSender sender_;
  std::vector<SlotSocket> sockets_;
  std::array<bool, 256> special_{};
  std::deque<UdpFlow> flows_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<ClientKey, std::uint32_t, ClientKeyHash> by_key_;
  ClientKey found_key_;  // the last one: packets come in bursts of one client
  std::uint32_t found_flow_ = kNoFlow;
  std::unordered_map<std::uint32_t, std::uint32_t> by_slot_;  // of the session table
  std::unordered_map<std::uint32_t, Claim> claims_;           // by request
  std::unordered_map<ClientKey, std::uint32_t, ClientKeyHash> claim_by_key_;
  std::unordered_map<std::uint32_t, std::uint32_t> claim_by_slot_;
  std::size_t parked_bytes_ = 0;
  std::vector<Upward> upward_;
  std::vector<UdpPiece> pieces_;        // of one flow, to be sent in one call
  std::uint8_t pieces_path_ = kNoPath;  // downward: where they go
  std::uint64_t now_ms_ = 0;            // of the batch at hand
  std::uint64_t seconds_ = 0;
  LogBudget shortage_log_{5};
  bool serving_ = false;
  bool draining_ = false;
};

}  // namespace weir
