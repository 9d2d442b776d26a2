// Master: owns listen sockets, shared memory, worker processes and their generations (DESIGN
// section 2, docs/RELOAD.md). One thread, one epoll loop; signals come through a signalfd, so no
// handler runs anywhere. It parses nothing that came from a network: workers send it fixed structs.
//
// A generation is one configuration and the workers that run it:
//
//   kStarting --all READY--> kCurrent --next one is READY--> kDraining --last worker left--> gone
//       |                                                        |
//       +--deadline, or a worker ended--> killed, gone           +--deadline, or too many--> Quit
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/tls_settings.h"
#include "common/config/config.h"
#include "ipc/channel.h"
#include "ipc/messages.h"
#include "ipc/state_writer.h"
#include "supervisor/flows.h"
#include "supervisor/listeners.h"
#include "supervisor/notify.h"
#include "supervisor/pid_file.h"
#include "supervisor/registry.h"
#include "supervisor/upgrade.h"
#include "supervisor/worker_kinds.h"
#include "supervisor/worker_process.h"

namespace weir {

struct MasterOptions {
  std::string config_path;  // "": built-in defaults
  Environment environment;
  std::span<const WorkerKindRow> kinds;
  char** argv = nullptr;    // for an upgrade in place
  UniqueFd ready;           // one byte is written here when the service is up
  ListenSockets inherited;  // of the master that this one replaces
  UniqueFd handover;        // its sessions come here; invalid: it replaces none
  UniqueFd session_lock;    // of the session file, from that master
  UniqueFd old_state;       // its origins and routes
  PidFile pid_file;
};

// In epoll_event.data.u64, beside the pages of workers.
inline constexpr std::uint64_t kHandoverToken = ~0ULL - 2;
// Of a channel's queue.
inline constexpr std::size_t kNoLimit = ~std::size_t{0};

class Master {
 public:
  Master(MasterOptions options, Config config);
  Master(const Master&) = delete;
  Master& operator=(const Master&) = delete;
  ~Master();

  // Serves until told to stop. The exit code of the program.
  int run();

 private:
  enum class Phase : std::uint8_t { kStarting, kCurrent, kDraining };
  enum class Stop : std::uint8_t { kNo, kGraceful, kQuick };

  // A place for one worker in a generation.
  struct Seat {
    const WorkerKindRow* row = nullptr;
    std::uint16_t slot = 0;
    ListenSockets sockets;
    std::uint32_t page = ipc::kNoSlot;  // of its process; kNoSlot: none
    std::uint32_t failures = 0;         // ends in a row, for the back-off
    std::uint64_t respawn_at_ms = 0;    // 0: not waiting
  };
  struct Generation {
    std::uint32_t number = 0;
    Phase phase = Phase::kStarting;
    std::shared_ptr<const Config> config;
    std::vector<Seat> seats;
    ListenSockets sockets;
    std::size_t forked = 0;         // kStarting: so many seats had their first process
    std::uint64_t ready_by_ms = 0;  // kStarting, from the last fork on
    bool ending = false;            // told to end its sessions, or killed
    std::uint64_t quit_at_ms = 0;   // kDraining: Quit is sent; 0: never
    std::uint64_t kill_at_ms = 0;   // what is left is killed; 0: not set
  };
  struct Process {
    pid_t pid = 0;
    std::uint32_t generation = 0;
    ipc::WorkerKind kind = ipc::WorkerKind::kControl;
    std::uint16_t slot = 0;
    ipc::Channel channel;
    bool ready = false;
    bool told_to_leave = false;
    bool writable_wanted = false;
    std::uint64_t started_ms = 0;
    std::uint64_t beats = 0;         // of its loop, when the master looked last
    std::uint32_t beats_missed = 0;  // in a row
  };

  // master.cc: loop, signals, stop
  Result<void> set_up();
  Result<void> set_up_signals();
  Result<void> first_stage();
  bool watch_input(int fd, std::uint64_t token);
  void wait(int timeout_ms);
  int timeout_ms(std::uint64_t now_ms) const;
  void read_signals();
  void act_on_signals();
  bool may_reload() const;
  void run_timers(std::uint64_t now_ms);
  void beat(std::uint64_t now_ms);
  void begin_stop(Stop how);
  void reopen_log();
  void pass_log(ipc::LogKind kind, int fd);
  void start_upgrade();
  void adopt_routes();
  void on_upgrade_news();
  bool finished() const { return stop_ != Stop::kNo && processes_.empty(); }

  // generations.cc
  void reload();
  Result<void> stage(std::shared_ptr<const Config> config);
  void fork_next();
  bool can_fork() const;
  std::size_t free_places() const;
  std::size_t processes_of(const Generation& generation) const;
  bool make_room(const Generation& staged);
  void end_early(Generation& generation, std::string_view why);
  Result<void> plan_seats(Generation& generation);
  Result<void> plan_sockets(Generation& generation, const WorkerKindRow& row,
                            const ListenSockets& present, std::vector<Seat>& seats,
                            Transport transport);
  void commit(Generation& generation);
  void abandon(Generation& generation, std::string_view why);
  void release_sockets(Generation& generation);
  void drain(Generation& generation, std::uint64_t deadline_ms);
  void quit(Generation& generation);
  void kill_all(Generation& generation);
  void cap_generations();
  void drop_empty_generations();
  void generation_timers(std::uint64_t now_ms);
  Generation* find_generation(std::uint32_t number);
  Generation* in_phase(Phase phase);

  // processes.cc
  Result<void> spawn(Generation& generation, Seat& seat);
  void enter_child(Generation& generation, const Seat& seat, std::uint32_t page,
                   ipc::Channel channel);
  void reap();
  void on_end(std::uint32_t page, int status);
  void plan_respawn(Generation& generation, Seat& seat, const Process& process, int status);
  void respawn_due(std::uint64_t now_ms);
  void end_hung_workers();

  // master_flows.cc: sessions of WebRTC and SRT
  Result<void> set_up_flows();
  void raise_descriptor_limit();
  void serve_flows(Generation& generation, const Seat& seat);
  void serve_all_flows(Generation& generation);
  bool stays_for_flows(ipc::WorkerKind kind) const;
  void quit_last_workers();
  void begin_handover();
  void hand_over(std::uint64_t now_ms);
  void adopt_flows();
  void finish_adoption(std::uint64_t now_ms);
  std::uint64_t next_flow_timer_ms() const;
  void flow_timers(std::uint64_t now_ms);

  // messages.cc: the channels
  void on_channel(std::uint32_t page, std::uint32_t events);
  bool receive_batch(std::uint32_t page, int limit);
  void dispatch(Process& process, std::uint32_t page, ByteView bytes);
  void dispatch_session(Process& process, std::uint32_t page, ipc::MessageType type,
                        ByteView bytes);
  void send_probes();
  void on_ready(Process& process, std::uint32_t page);
  void watch(Process& process, std::uint32_t page, bool writable);
  void watch_again();
  template <typename M>
  bool send(Process& process, std::uint32_t page, M& message, int pass_fd = -1) {
    return send_bytes(process, page, ipc::encode(message), pass_fd);
  }
  bool send_bytes(Process& process, std::uint32_t page, ByteView bytes, int pass_fd);
  // Drain and Quit: there are few of them, and they must arrive however much waits already.
  template <typename M>
  void order(Process& process, std::uint32_t page, M& message) {
    process.told_to_leave = true;
    const auto status = process.channel.send(ipc::encode(message), -1, kNoLimit);
    if (status == ipc::SendStatus::kQueued) watch(process, page, true);
  }

  MasterOptions options_;
  std::shared_ptr<const Config> config_;  // of the current generation
  WorkerUser user_;
  unsigned cores_ = 1;
  Notifier notifier_;
  UniqueFd epoll_;
  UniqueFd signals_;
  std::optional<ipc::StateWriter> state_;
  std::optional<Registry> registry_;
  std::optional<Flows> flows_;
  std::optional<ipc::FlowFile> session_file_;
  std::optional<ipc::Channel> to_successor_;      // while sessions are handed over
  std::optional<ipc::Channel> from_predecessor_;  // while they come
  std::uint32_t handover_cursor_ = 0;
  std::uint64_t next_handover_ms_ = 0;
  std::uint64_t adopt_until_ms_ = 0;
  bool upgraded_ = false;                                 // a new master runs, this one finishes
  std::vector<std::unique_ptr<Generation>> generations_;  // oldest first
  std::map<std::uint32_t, Process> processes_;            // by page
  std::map<std::pair<ipc::WorkerKind, std::uint16_t>, std::uint32_t> respawns_;
  Upgrade upgrade_;
  std::uint32_t next_generation_ = 1;
  std::uint64_t session_serial_ = 0;
  TicketSecret tickets_;  // of session tickets; goes to the workers at their fork
  std::array<bool, 65> pending_signals_{};
  bool reload_wanted_ = false;
  bool failed_to_start_ = false;
  Stop stop_ = Stop::kNo;
  std::uint64_t next_beat_ms_ = 0;
  std::uint64_t next_watchdog_ms_ = 0;
};

// Opens the error and the access log. On an error the logs of `running`, if any, are in use again.
Result<void> open_logs(const Config& config, const Config* running);

}  // namespace weir
