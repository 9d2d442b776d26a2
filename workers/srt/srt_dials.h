// The SRT handshakes of one worker: found by caller, by flow, by the master's answer that is
// awaited; the time of each is kept in order, so that the earliest one is known however many there
// are. Bounded, and each client address has its share. Owner: SrtWorker. No I/O, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "workers/srt/srt_dial.h"

namespace weir::srt {

class DialTable {
 public:
  // `limit`: handshakes under way. As many more may be kept for callers that repeat themselves.
  DialTable(HashSeed seed, std::size_t limit);

  enum class Room : std::uint8_t { kYes, kFull, kShareTaken };
  // One address (IPv6: /64) has a quarter of all places.
  Room room_for(const Endpoint& client) const;

  Dial* find(const ClientKey& key);
  // REQUIRES: no dial has this key.
  Dial& add(const SessionOptions& options, const ClientPacket& packet, std::uint32_t caller_id,
            std::uint64_t now_ms);
  // It is established or rejected: under way no more. Nothing is awaited for it.
  void finish(Dial& dial, std::uint64_t now_ms);
  void remove(Dial& dial);
  void clear();
  std::size_t half_open() const { return half_open_; }
  template <typename Visitor>
  void for_each(Visitor visit) {
    for (auto& [key, dial] : dials_) visit(dial);
  }

  // The dial waits in this stage for the master's answer with this number.
  void await(Dial& dial, DialStage stage, std::uint32_t request);
  void await_no_more(Dial& dial);
  // The dial that waits for it in that stage, which waits no more; null if there is none.
  Dial* answered(std::uint32_t request, DialStage stage);

  // By the slot of the session table while claiming, by the relay's index afterwards.
  void bind_slot(Dial& dial) { by_slot_[dial.ref.slot] = &dial; }
  void unbind_slot(std::uint32_t slot) { by_slot_.erase(slot); }
  Dial* take_slot(ipc::FlowRef flow);
  void bind_flow(Dial& dial, std::uint32_t flow);
  void unbind_flow(Dial& dial);
  Dial* of_flow(std::uint32_t flow);

  // When the dial has to be looked at again.
  void schedule(Dial& dial, std::uint64_t due_ms);
  std::optional<std::uint64_t> next_due() const;
  // One whose time has come; it has none until it is scheduled again.
  Dial* take_due(std::uint64_t now_ms);

 private:
  struct Share {
    std::size_t half_open = 0;
    std::size_t all = 0;
  };

  const std::size_t limit_;
  std::unordered_map<ClientKey, Dial, ClientKeyHash> dials_;  // pointers to them stay valid
  std::unordered_map<std::uint64_t, Share> shares_;           // by address_group()
  std::size_t half_open_ = 0;
  std::unordered_map<std::uint32_t, Dial*> requests_;
  std::unordered_map<std::uint32_t, Dial*> by_flow_;
  std::unordered_map<std::uint32_t, Dial*> by_slot_;
  std::set<std::pair<std::uint64_t, Dial*>> due_;
};

}  // namespace weir::srt
