// FlowService: the sessions of WebRTC and SRT around the workers' words (flows.h): where their
// table lives, which workers may serve them, and how they get from one master to the next
// (docs/UDP.md). Owner: the master's loop.
#pragma once

#include <cstdint>
#include <optional>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/config/config.h"
#include "ipc/channel.h"
#include "ipc/flow_file.h"
#include "supervisor/flows.h"
#include "supervisor/generation.h"

namespace weir {

// Whether workers of this kind have sessions that outlive them.
bool serves_flows(ipc::WorkerKind kind);

class FlowService {
 public:
  // `predecessor`: sessions of the master that this one replaces come here; invalid: it replaces
  // none. `file`: of sessions, locked.
  Result<void> set_up(const Config& config, Registry& registry, Flows::Send send,
                      UniqueFd predecessor, std::optional<ipc::FlowFile> file);
  Flows& flows() { return *flows_; }
  int lock_fd() const { return file_ ? file_->lock_fd() : -1; }  // -1: there is no file
  // Readable when sessions come; -1: none will.
  int predecessor_fd() const { return from_predecessor_ ? from_predecessor_->fd() : -1; }

  // The worker of the seat is ready, and its generation current.
  void serve(const Generation& generation, const Seat& seat);
  // The generation is current now.
  void serve_all(const Generation& generation);

  // Nothing changes here any more: sends all to the new master.
  void begin_handover(UniqueFd successor);
  // Sessions have come.
  void adopt();

  std::uint64_t next_timer_ms() const;  // 0: none
  void run_timers(std::uint64_t now_ms);

 private:
  void hand_over(std::uint64_t now_ms);
  void finish_adoption(std::uint64_t now_ms);

  std::optional<Flows> flows_;
  std::optional<ipc::FlowFile> file_;
  std::optional<ipc::Channel> to_successor_;      // while sessions are handed over
  std::optional<ipc::Channel> from_predecessor_;  // while they come
  std::uint32_t handover_cursor_ = 0;
  std::uint64_t next_handover_ms_ = 0;
  std::uint64_t adopt_until_ms_ = 0;
};

}  // namespace weir
