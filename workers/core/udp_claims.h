// UdpClaims: the sessions that a worker has asked the master for, and the packets of their clients
// that wait meanwhile, bounded. Owner: UdpRelay. No I/O, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "ipc/counters.h"
#include "workers/core/udp_flow.h"

namespace weir {

struct UdpClaim {
  ipc::FlowTransport transport = ipc::FlowTransport::kUdp;
  bool first = false;        // nobody has served the session yet
  bool keep_client = false;  // it only comes here: the media goes on to the recorded address
};

class UdpClaims {
 public:
  struct Claim {
    ipc::FlowRef ref;
    ClientPacket from;  // without bytes
    UdpClaim how;
    std::uint64_t started_ms = 0;
    std::size_t bytes = 0;
    std::vector<std::vector<std::uint8_t>> parked;
  };

  // What packets that wait, and those for which there is no room, are counted as.
  UdpClaims(HashSeed seed, ipc::Counters& counters, ipc::Counter parked, ipc::Counter dropped)
      : counters_(counters), parked_(parked), dropped_(dropped), by_key_(0, ClientKeyHash{seed}) {}

  bool full() const;
  bool has_slot(std::uint32_t slot) const { return by_slot_.contains(slot); }
  bool has_key(const ClientKey& key) const { return by_key_.contains(key); }
  // REQUIRES: none for this slot. `waits`: packets of this client can be parked, this one at once.
  void add(std::uint32_t request, ipc::FlowRef ref, const ClientPacket& from, UdpClaim how,
           std::uint64_t now_ms, bool waits);
  // Keeps the packet, in segments, if there is a claim of its client. False: there is none.
  bool park(const ClientPacket& packet, std::size_t segment);
  // It has been answered; nothing if there is none.
  std::optional<Claim> take(std::uint32_t request);
  // Those that have waited since before `since_ms`.
  std::vector<std::uint32_t> older_than(std::uint64_t since_ms) const;
  void clear();
  std::size_t size() const { return claims_.size(); }

 private:
  ipc::Counters& counters_;
  ipc::Counter parked_;
  ipc::Counter dropped_;
  std::unordered_map<std::uint32_t, Claim> claims_;  // by request
  std::unordered_map<ClientKey, std::uint32_t, ClientKeyHash> by_key_;
  std::unordered_map<std::uint32_t, std::uint32_t> by_slot_;
  std::size_t parked_bytes_ = 0;
};

}  // namespace weir
