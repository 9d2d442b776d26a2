// FlowBook: the sessions of WebRTC and SRT as the master has them: their rows in the session table,
// its own notes of each, their upstream sockets, and what they count for in the registry. Decides
// nothing about workers. Owner: Flows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/base/log_budget.h"
#include "ipc/flow_messages.h"
#include "ipc/flow_writer.h"
#include "supervisor/registry.h"

namespace weir {

// As the session table has endpoints: compared without their scheme.
inline Endpoint plain(Endpoint e) {
  e.scheme = Scheme::kDefault;
  return e;
}

class FlowBook {
 public:
  // The master's own notes of a session.
  struct Meta {
    bool live = false;
    bool delivered = false;  // the owner has the upstream socket
    ipc::FlowKind kind = ipc::FlowKind::kRtc;
    ipc::FlowTransport transport = ipc::FlowTransport::kUdp;
    std::uint16_t home = 0;  // slot of its last owner
    std::uint32_t owner = ipc::kNoSlot;
    std::uint32_t last_owner = ipc::kNoSlot;  // may still report what it counted
    std::uint32_t creator = ipc::kNoSlot;
    std::uint64_t ownerless_ms = 0;   // since when
    std::uint64_t claims_second = 0;  // and how many claims came in it
    std::uint32_t claims = 0;
    std::uint64_t rebind_until_ms = 0;  // restored, its port is not had yet; 0: it is
    UniqueFd upstream;
  };

  FlowBook(ipc::FlowWriter table, Registry& registry)
      : table_(std::move(table)), registry_(registry) {}

  ipc::FlowWriter& table() { return table_; }
  const ipc::FlowWriter& table() const { return table_; }
  // REQUIRES: a slot below limit().
  Meta& operator[](std::uint32_t slot) { return metas_[slot]; }
  std::uint32_t limit() const { return static_cast<std::uint32_t>(metas_.size()); }
  std::size_t size() const { return by_session_.size(); }
  ipc::FlowRef ref_of(std::uint32_t slot) const { return {slot, table_.get(slot).generation}; }
  // kNoSlot: there is none.
  std::uint32_t find(SessionId session) const;
  // The slots of its group, its own among them.
  std::vector<std::uint32_t> group_of(std::uint32_t slot) const;

  // A new session, counted in its stream if it is the first of its group. `slot` when it is kOk.
  ipc::FlowStatus add(const ipc::FlowRecord& record, bool leads, std::uint64_t now_ms,
                      std::uint32_t& slot);
  // One of another master, in the same slot, so that references to it in URLs stay good. False: it
  // cannot be beside what is there.
  bool take_up(std::uint32_t slot, ipc::FlowRecord record, std::uint64_t now_ms);
  // True: its group has ended with it, and counts no more.
  bool erase(std::uint32_t slot, std::uint64_t now_ms);

  // REQUIRES for all: a live slot.
  // Makes the upstream socket.
  ipc::FlowStatus open_socket(std::uint32_t slot, std::uint64_t now_ms);
  // The origin takes the media elsewhere after an ICE restart. Its owner has the same socket.
  bool redirect(std::uint32_t slot, ipc::FlowRecord& record, const Endpoint& to);
  // Where the client is from now on.
  void note_client(std::uint32_t slot, const ipc::FlowClaim& message, std::uint64_t now_ms);
  // What a worker has counted; rows of sessions that it never had are left out.
  void count(std::uint32_t page, const ipc::FlowStats& stats, std::uint64_t now_ms);
  // Whether it may be claimed once more in this second.
  bool take_share(std::uint32_t slot, std::uint64_t now_ms);
  void note_refusal(ipc::FlowStatus status);
  // Looks for the origins of sessions that were taken up.
  void match_origins(std::uint64_t now_ms);

 private:
  void remember(std::uint32_t slot, const ipc::FlowRecord& record);
  ipc::FlowStatus join_stream(const ipc::FlowRecord& record, std::uint64_t now_ms);
  void take_address(std::uint32_t slot, const ipc::FlowRecord& record);
  std::optional<ipc::SessionEnd> count_session(const ipc::FlowRecord& record, std::uint64_t now_ms);

  ipc::FlowWriter table_;
  Registry& registry_;
  std::vector<Meta> metas_;  // by slot, up to the highest used so far
  std::unordered_map<SessionId, std::uint32_t> by_session_;
  std::unordered_map<SessionId, std::vector<std::uint32_t>> groups_;
  std::deque<ipc::FlowRef> unmatched_;  // taken up, their origin is not known yet
  LogBudget shortage_log_{1, kRefusalLogMs};
  LogBudget move_log_{20};  // clients may move as often as they like
};

}  // namespace weir
