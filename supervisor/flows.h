// Flows: the master's side of the sessions of WebRTC and SRT (docs/UDP.md). The only writer of the
// session table; makes and keeps the upstream sockets; decides who owns a session. Gets the
// workers' messages and a clock value, and sends through a callback, so that tests drive it
// directly. Owner: the master's loop, one thread. Every message is hostile input: a worker can
// claim sessions of its kind, which is its work, but it can end and count only those that it owns.
//
//   FlowCreate --> kSignalled --FlowClaim--> kConnected, owned <--> ownerless (its worker left)
//                      |                         |                      |
//                      +--signal_timeout---------+--FlowEnd-------------+--orphan limit--> gone
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <unordered_map>
#include <vector>

#include "common/base/fd.h"
#include "common/config/config.h"
#include "ipc/channel.h"
#include "ipc/flow_file.h"
#include "ipc/flow_messages.h"
#include "ipc/flow_writer.h"
#include "supervisor/flow_book.h"
#include "supervisor/flow_notices.h"
#include "supervisor/registry.h"

namespace weir {

class Flows {
 public:
  // Sends to the worker of a page, with a descriptor or -1. False: not now (try again) or never.
  using Send = std::function<bool(std::uint32_t page, ByteView message, int fd)>;

  Flows(ipc::FlowWriter table, Registry& registry, Send send);

  // At start and after each reload.
  void apply(const Config& config);
  int reader_fd() const { return book_.table().reader_fd(); }
  std::size_t sessions() const { return book_.size(); }

  // flows.cc: messages of workers. False: malformed.
  bool on_message(std::uint32_t page, ipc::WorkerKind kind, ipc::MessageType type, ByteView bytes,
                  std::uint64_t now_ms);

  // The session and those that belong to it. Nothing when it has gone.
  void end_session(SessionId session, ipc::FlowEndReason reason, std::uint64_t now_ms);

  // flows_owners.cc: workers come and go. A worker serves when it is READY and its generation
  // current: it gets Serve and the ownerless sessions that fall to its slot. A control worker is
  // the one that hears of ended sessions, for hooks; an http worker tells their origins.
  void worker_serves(std::uint32_t page, ipc::WorkerKind kind, unsigned slot, unsigned slots,
                     std::uint64_t now_ms);
  // It was told to drain: its sessions over UDP go to its successor.
  void worker_drains(std::uint32_t page, std::uint64_t now_ms);
  void worker_gone(std::uint32_t page, std::uint64_t now_ms);
  // The configuration has no worker of this kind any more: its sessions end.
  void kind_stopped(ipc::WorkerKind kind, std::uint64_t now_ms);
  void tick(std::uint64_t now_ms);  // each second and at next_timer_ms()
  std::uint64_t next_timer_ms() const;

  // flows_restore.cc: sessions of an earlier master, from the session file or from its own hands.
  void restore(const ipc::SavedFlows& saved, std::uint64_t now_ms);
  // The old master's sessions are on their way: nobody serves and nothing is created before
  // finish_adoption().
  void expect_adoption() { adopting_ = true; }
  void adopt(std::uint32_t slot, const ipc::FlowRecord& record, UniqueFd upstream,
             std::uint64_t now_ms);
  void finish_adoption(std::uint64_t now_ms);
  // From now on nothing changes: the service ends and its file stays, or a new master takes over.
  void freeze() { frozen_ = true; }
  // In the old master: sends the sessions from `cursor` on; true when all are sent.
  bool hand_over(ipc::Channel& to, std::uint32_t& cursor, std::uint64_t now_ms);

 private:
  struct Assignment {
    ipc::FlowRef flow;
    std::uint32_t request = 0;
  };
  struct Worker {
    ipc::WorkerKind kind = ipc::WorkerKind::kControl;
    unsigned slot = 0;
    unsigned slots = 0;  // of its kind in its generation; 0: it does not serve
    bool draining = false;
    std::deque<Assignment> assignments;  // not sent yet
    std::uint64_t tokens = 0;            // messages that it may send
    std::uint64_t tokens_ms = 0;
  };
  struct PendingCreate {
    std::uint32_t page;
    ipc::WorkerKind kind;
    ipc::FlowCreate message;
  };
  struct Due {
    std::uint64_t at_ms;
    ipc::FlowRef flow;
  };

  // flows.cc
  Worker& worker(std::uint32_t page, ipc::WorkerKind kind, std::uint64_t now_ms);
  void create(std::uint32_t page, ipc::WorkerKind kind, const ipc::FlowCreate& message,
              std::uint64_t now_ms);
  ipc::FlowStatus check_create(std::uint32_t page, ipc::WorkerKind kind,
                               const ipc::FlowCreate& message, std::uint64_t now_ms);
  ipc::FlowStatus check_credentials(std::uint32_t page, ipc::WorkerKind kind,
                                    const ipc::FlowCredentials& message, std::uint64_t now_ms);
  void add_credentials(std::uint32_t page, ipc::WorkerKind kind,
                       const ipc::FlowCredentials& message, std::uint64_t now_ms);
  void claim(std::uint32_t page, ipc::WorkerKind kind, const ipc::FlowClaim& message,
             std::uint64_t now_ms);
  ipc::FlowStatus check_claim(std::uint32_t page, ipc::WorkerKind kind,
                              const ipc::FlowClaim& message, std::uint64_t now_ms);
  void end_asked(std::uint32_t page, ipc::WorkerKind kind, const ipc::FlowEnd& message,
                 std::uint64_t now_ms);
  void end_group(std::uint32_t slot, ipc::FlowEndReason reason, std::uint32_t asked_by,
                 std::uint64_t now_ms);
  void end(std::uint32_t slot, ipc::FlowEndReason reason, std::uint32_t asked_by,
           std::uint64_t now_ms);
  void answer_created(std::uint32_t page, std::uint32_t request, ipc::FlowStatus status,
                      std::uint32_t slot);
  void refuse_assign(std::uint32_t page, std::uint32_t request, ipc::FlowRef flow,
                     ipc::FlowStatus status);

  // flows_owners.cc
  void set_owner(std::uint32_t slot, std::uint32_t page, std::uint32_t request);
  void make_ownerless(std::uint32_t slot, std::uint64_t now_ms);
  void find_owners(std::uint32_t page, const Worker& heir, std::uint64_t now_ms);
  void start_serving(std::uint32_t page, std::uint64_t now_ms);
  bool send_assignments(std::uint32_t page, Worker& to);
  void expire_signalled(std::uint64_t now_ms);
  void expire_ownerless(std::uint64_t now_ms);
  void expire_silent(std::uint64_t now_ms);

  // flows_restore.cc
  bool take_up(std::uint32_t slot, const ipc::FlowRecord& record, std::uint64_t now_ms);
  void rebind(std::uint64_t now_ms);

  FlowBook book_;
  Registry& registry_;
  Send send_;
  FlowNotices notices_;
  std::uint64_t signal_timeout_ms_ = 30000;
  std::array<std::uint64_t, ipc::kFlowKinds> idle_timeout_ms_ = {60000, 15000};
  bool frozen_ = false;
  bool adopting_ = false;
  std::unordered_map<std::uint32_t, Worker> workers_;  // by page
  std::array<std::deque<ipc::FlowRef>, ipc::kFlowKinds> ownerless_;
  std::deque<Due> signalled_;
  std::deque<PendingCreate> pending_creates_;  // while adopting_
  std::deque<ipc::FlowRef> rebinding_;
  std::uint32_t next_checked_ = 0;  // slot that expire_silent() goes on at
  std::uint64_t silent_checked_ms_ = 0;
  std::uint64_t silent_from_ms_ = 0;  // it ends nothing before
  std::uint64_t next_second_ms_ = 0;
  std::uint64_t next_rebind_ms_ = 0;
  std::uint64_t retry_ms_ = 0;  // assignments wait for room in a channel; 0: none do
  LogBudget refusal_log_{1, kRefusalLogMs};
};

}  // namespace weir
