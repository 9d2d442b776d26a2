// UdpFlows: the sessions that one worker serves, found by the master's slot and by a client's key,
// and the ways to their clients. Owner: UdpRelay. No I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "common/base/hash.h"
#include "workers/core/udp_flow.h"

namespace weir {

class UdpFlows {
 public:
  explicit UdpFlows(HashSeed seed) : by_key_(0, ClientKeyHash{seed}) {}

  // A new one, empty but for this; entries keep their place until erase().
  std::uint32_t add(ipc::FlowRef ref);
  // Closes its socket. REQUIRES: the socket is in no event set.
  void erase(std::uint32_t index);
  UdpFlow& operator[](std::uint32_t index) { return flows_[index]; }
  // Up to the highest index so far; those that are not `used` are free.
  std::uint32_t limit() const { return static_cast<std::uint32_t>(flows_.size()); }
  std::size_t size() const { return by_slot_.size(); }

  // kNoFlow: there is none.
  std::uint32_t find(ipc::FlowRef ref) const;
  std::uint32_t find(const ClientKey& key) {
    if (found_flow_ != kNoFlow && key == found_key_) return found_flow_;
    return look_up(key);
  }
  // Whoever has the slot of the session table, of whatever generation.
  std::uint32_t find_slot(std::uint32_t slot) const;

  // The client's proven path of `packet`, made if there is none. A key that another session had is
  // this one's from now on.
  std::uint8_t add_path(std::uint32_t index, const ClientPacket& packet);
  // Takes an address away from a session: somebody else has proven to be there now.
  void drop_path(std::uint32_t index, const ClientKey& key);

 private:
  std::uint32_t look_up(const ClientKey& key);
  void forget_key(const ClientKey& key, std::uint32_t index);

  std::deque<UdpFlow> flows_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<ClientKey, std::uint32_t, ClientKeyHash> by_key_;
  ClientKey found_key_;  // the last one: packets come in bursts of one client
  std::uint32_t found_flow_ = kNoFlow;
  std::unordered_map<std::uint32_t, std::uint32_t> by_slot_;  // of the session table
};

}  // namespace weir
