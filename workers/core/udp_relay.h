// UdpRelay: forwards the datagrams of the sessions that this worker owns, both ways, in batches
// (docs/UDP.md). WebRTC and SRT share it; what a packet means is the UdpProtocol's business.
//
// A session comes by FlowAssign: after claim(), or unasked when its former owner has gone; its
// upstream socket is read at once. It goes by FlowRelease, by end(), and all of them by drain().
// Packets that come during a claim wait, bounded. A packet that cannot be sent is dropped and
// counted. Owner: the protocol's worker; one thread; must die before the event base.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/log_budget.h"
#include "ipc/counters.h"
#include "ipc/flow_reader.h"
#include "workers/core/burst_poller.h"
#include "workers/core/event_ptr.h"
#include "workers/core/master_link.h"
#include "workers/core/udp_claims.h"
#include "workers/core/udp_flows.h"
#include "workers/core/udp_forward.h"

namespace weir {

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
  // The origin's packets go there from now on. Nobody is told: another worker after this one begins
  // with the address that the session table has.
  void point_to(std::uint32_t flow, std::uint8_t path);
  // The same, and the master is told.
  void move_client(std::uint32_t flow, std::uint8_t path);
  // The same for a client that has proven itself by a TCP connection from `client`.
  void move_to_tcp(std::uint32_t flow, const Endpoint& client, const Endpoint& local);
  // One packet of the client to the origin.
  void forward(std::uint32_t flow, ByteView packet) { forwarder_.forward(flow, packet); }
  // Ends a session everywhere.
  void end(std::uint32_t flow, const UdpEnd& end);
  // A packet to whoever sent `to`: an answer of the protocol's own.
  void reply(const ClientPacket& to, ByteView packet) { forwarder_.reply(to, packet); }

  // The sessions that are here; for their owner also the ways to their clients.
  UdpFlows& flows() { return flows_; }
  UdpFlow& flow(std::uint32_t index) { return flows_[index]; }
  std::uint32_t find(ipc::FlowRef ref) const { return flows_.find(ref); }
  std::uint32_t find(const ClientKey& key) { return flows_.find(key); }
  std::size_t claims() const { return claims_.size(); }

 private:
  bool on_ready(std::uint64_t token);
  void drop_assign(const ipc::FlowAssign& assign, const UdpClaims::Claim& claim, bool has_socket);
  std::uint32_t adopt(const ipc::FlowAssign& assign, const ipc::FlowRecord& record,
                      UniqueFd upstream);
  bool send_claim(std::uint32_t request, ipc::FlowRef ref, const ClientPacket& from, UdpClaim how);
  void forget(std::uint32_t index);
  std::uint16_t socket_for(const Endpoint& local) const;
  void watch_slots();
  void watch(std::uint32_t index);
  bool watch_again(std::uint32_t index, std::uint64_t now);
  void on_second();
  void check_idle(std::uint32_t index, std::uint64_t now);
  void expire_claims(std::uint64_t now);

  UdpRelaySettings settings_;
  UdpProtocol& protocol_;
  MasterLink& link_;
  const ipc::FlowView& table_;
  ipc::Counters& counters_;
  BurstPoller poller_;
  EventPtr timer_;
  std::vector<SlotSocket> sockets_;
  UdpFlows flows_;
  UdpClaims claims_;
  UdpForwarder forwarder_;
  std::uint64_t seconds_ = 0;
  LogBudget shortage_log_{5};
  bool serving_ = false;
  bool draining_ = false;
};

}  // namespace weir
