// Master: owns listen sockets, shared memory, worker processes and their generations (DESIGN
// section 2, docs/RELOAD.md). One thread, one epoll loop; signals come through a signalfd, so no
// handler runs anywhere. It parses nothing that came from a network: workers send it fixed structs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "common/config/config.h"
#include "ipc/messages.h"
#include "ipc/state_writer.h"
#include "supervisor/commands.h"
#include "supervisor/control_socket.h"
#include "supervisor/flow_service.h"
#include "supervisor/generation.h"
#include "supervisor/notify.h"
#include "supervisor/pid_file.h"
#include "supervisor/registry.h"
#include "supervisor/signal_inbox.h"
#include "supervisor/socket_store.h"
#include "supervisor/upgrade.h"
#include "supervisor/worker_forks.h"
#include "supervisor/worker_kinds.h"
#include "supervisor/worker_messages.h"
#include "supervisor/worker_pool.h"

namespace weir {

struct MasterOptions {
  std::string config_path;  // "": built-in defaults
  Environment environment;
  std::span<const WorkerKindRow> kinds;
  char** argv = nullptr;    // for an upgrade in place
  UniqueFd ready;           // kServiceUp is written here, or why the service does not come up
  ListenSockets inherited;  // of the master that this one replaces, or was stored by an earlier one
  SocketStore store;
  UniqueFd predecessor;   // a pidfd of the master that this one replaces
  UniqueFd handover;      // its sessions come here; invalid: it replaces none
  UniqueFd session_lock;  // of the session file, from that master
  UniqueFd old_state;     // its origins and routes
  UniqueFd control;       // its control socket
  PidFile pid_file;
};

// In epoll_event.data.u64, beside the pages of workers.
inline constexpr std::uint64_t kHandoverToken = ~0ULL - 2;

class Master {
 public:
  Master(MasterOptions options, Config config);
  Master(const Master&) = delete;
  Master& operator=(const Master&) = delete;
  ~Master();

  // Serves until told to stop. The exit code of the program.
  int run();

 private:
  enum class Stop : std::uint8_t { kNo, kGraceful, kQuick };

  // master.cc: loop, signals, stop
  Result<void> set_up();
  Result<void> set_up_state();
  Result<void> set_up_sessions();
  Result<void> first_stage();
  void wait(int timeout_ms);
  int timeout_ms(std::uint64_t now_ms) const;
  void act_on_signals();
  bool may_reload() const;
  void run_timers(std::uint64_t now_ms);
  void beat(std::uint64_t now_ms);
  void begin_stop(Stop how);
  void report_status();
  void carry_out(ipc::MasterAction action, Commands::Asker asker);
  void start_upgrade();
  void on_upgrade_news();
  // The last one to leave is the one that the service manager looks at.
  bool finished() const { return stop_ != Stop::kNo && pool_.size() == 0 && !predecessor_.lives(); }

  // generations.cc
  void reload();
  Result<void> stage(std::shared_ptr<const Config> config);
  void fork_next();
  bool can_fork() const;
  std::size_t free_places() const;
  bool make_room(const Generation& staged);
  void end_early(Generation& generation, std::string_view why);
  void commit(Generation& generation);
  void abandon(Generation& generation, std::string_view why);
  void drain(Generation& generation, std::uint64_t deadline_ms);
  void quit(Generation& generation);
  void kill_all(Generation& generation);
  void cap_generations();
  void drop_empty_generations();
  void generation_timers(std::uint64_t now_ms);
  bool stays_to_the_end(ipc::WorkerKind kind) const;
  void quit_last_workers();

  // processes.cc
  void on_ready(WorkerProcess& process, std::uint32_t page);
  void send_orders();
  void on_end(std::uint32_t page, const WorkerProcess& process, int status);
  void plan_respawn(Generation& generation, Seat& seat, const WorkerProcess& process, int status);
  void respawn_due(std::uint64_t now_ms);

  MasterOptions options_;
  std::shared_ptr<const Config> config_;  // of the current generation
  unsigned cores_ = 1;
  Notifier notifier_;
  SignalInbox signals_;
  std::optional<ipc::FlowFile> session_file_;  // until the flow service has it
  std::optional<ipc::KeptFile> state_file_;    // until it has its name
  std::optional<ipc::StateWriter> state_;
  std::optional<Registry> registry_;
  FlowService flow_service_;
  std::optional<WorkerMessages> messages_;
  WorkerPool pool_;
  Commands commands_;
  WorkerForks forks_;
  ControlSocket control_socket_;
  Generations generations_;
  bool upgraded_ = false;  // a new master runs, this one finishes
  Upgrade upgrade_;
  std::uint64_t upgrade_until_ms_ = 0;
  Predecessor predecessor_;
  std::uint32_t next_generation_ = 1;
  bool reload_wanted_ = false;
  bool failed_to_start_ = false;
  std::string reload_trouble_;  // of the last one; empty: it went well
  Stop stop_ = Stop::kNo;
  std::uint64_t stop_by_ms_ = 0;
  std::uint64_t next_beat_ms_ = 0;
  std::uint64_t next_watchdog_ms_ = 0;
};

}  // namespace weir
