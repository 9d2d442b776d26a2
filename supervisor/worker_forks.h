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

  // `serial`: a random number. `state`, `flows`, the descriptor of the session table that
  // workers read, and the control socket outlive this.
  Result<void> set_up(const Config& config, std::uint64_t serial);
  void share(ipc::StateWriter& state, int flows, int control_socket);
  // For control workers: the state of the program that this one replaces; invalid: it has ended.
  void share_old_state(UniqueFd state) { old_state_ = std::move(state); }
  const WorkerUser& user() const { return user_; }

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
  int control_socket_ = -1;  // -1: none
  UniqueFd old_state_;
  WorkerUser user_;
  std::map<std::pair<ipc::WorkerKind, std::uint16_t>, std::uint32_t> respawns_;
  std::uint64_t session_serial_ = 0;
  TicketSecret tickets_;
};

}  // namespace weir
