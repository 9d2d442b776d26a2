// WorkerForks: starts worker processes, and what they inherit: user, ids of sessions, session
// tickets. Owner: the master, whose loop is the only thread.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "common/base/tls_settings.h"
#include "ipc/state_writer.h"
#include "supervisor/generation.h"
#include "supervisor/worker_pool.h"
#include "supervisor/worker_process.h"

namespace weir {

class WorkerForks {
 public:
  explicit WorkerForks(WorkerPool& pool) : pool_(pool) {}

  // `serial`: a random number. `state` and `flows`, the descriptor of the session table that
  // workers read, outlive this.
  Result<void> set_up(const Config& config, std::uint64_t serial);
  void share(ipc::StateWriter& state, int flows);

  // Starts the process of a seat. REQUIRES: share() was called.
  Result<void> spawn(Generation& generation, Seat& seat);
  // It is not the first process there.
  void count_respawn(const Seat& seat) { ++respawns_[{seat.row->kind, seat.slot}]; }

 private:
  void enter_child(Generation& generation, const Seat& seat, std::uint32_t page,
                   ipc::Channel channel);

  WorkerPool& pool_;
  ipc::StateWriter* state_ = nullptr;
  int flows_ = -1;
  WorkerUser user_;
  std::map<std::pair<ipc::WorkerKind, std::uint16_t>, std::uint32_t> respawns_;
  std::uint64_t session_serial_ = 0;
  TicketSecret tickets_;
};

}  // namespace weir
