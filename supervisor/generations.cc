// Master, generations: reload, fork, drain, death (docs/RELOAD.md).
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/tls_ticket.h"
#include "ipc/counters.h"
#include "supervisor/master.h"
#include "supervisor/tls_check.h"

namespace weir {
namespace {

constexpr std::uint64_t kBackoffFirstMs = 100;
constexpr std::uint64_t kBackoffMaxMs = 10000;
constexpr std::uint64_t kLongLifeMs = 60000;      // whoever lived so long did not fail at starting
constexpr std::uint64_t kDeadlineSlackMs = 1000;  // workers end their sessions themselves first
constexpr int kLastWords = 100000;
constexpr unsigned kSessionBits = 36;  // sessions of one process before ids could meet

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) {
    return "signal " + std::to_string(WTERMSIG(status)) +
           (WCOREDUMP(status) ? ", core dumped" : "");
  }
  return "exit " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

Master::Generation* Master::find_generation(std::uint32_t number) {
  for (const auto& generation : generations_) {
    if (generation->number == number) return generation.get();
  }
  return nullptr;
}

Master::Generation* Master::in_phase(Phase phase) {
  for (const auto& generation : generations_) {
    if (generation->phase == phase) return generation.get();
  }
  return nullptr;
}

void Master::reload() {
  reload_wanted_ = false;
  notifier_.reloading();
  LogLine(LogLevel::kNotice, "reload: reading the configuration")
      .field("config", options_.config_path.empty() ? "built-in defaults" : options_.config_path);
  const auto refuse = [this](std::string_view why) {
    state_->header().reloads_failed.fetch_add(1, std::memory_order_relaxed);
    LogLine(LogLevel::kError, "reload refused, nothing has changed").field("why", why);
    notifier_.ready("serving; the last reload was refused");
  };
  LoadOutcome loaded = load_config(options_.config_path, options_.environment);
  check_tls(loaded);
  for (const std::string& warning : loaded.warnings) LogLine(LogLevel::kWarn, warning);
  if (!loaded.ok()) {
    for (const Fault& fault : loaded.faults) {
      LogLine(LogLevel::kError, "configuration fault").field("at", to_string(fault));
    }
    refuse("the configuration has faults");
    return;
  }
  for (const std::string& option : restart_changes(*config_, loaded.config)) {
    LogLine(LogLevel::kWarn, "option needs a restart, its old value stays").field("option", option);
  }
  keep_restart_values(*config_, loaded.config);
  if (auto opened = open_logs(loaded.config, config_.get()); !opened)
    return refuse(opened.error().text);
  if (auto staged = stage(std::make_shared<const Config>(std::move(loaded.config))); !staged) {
    static_cast<void>(open_logs(*config_, nullptr));
    refuse(staged.error().text);
  }
}

Result<void> Master::stage(std::shared_ptr<const Config> config) {
  auto generation = std::make_unique<Generation>();
  generation->number = next_generation_++;
  generation->config = std::move(config);
  generation->ready_by_ms = monotonic_ms() + generation->config->worker_ready_timeout;
  if (auto planned = plan_seats(*generation); !planned) return planned;
  Generation& staged = *generations_.emplace_back(std::move(generation));
  for (Seat& seat : staged.seats) {
    auto spawned = spawn(staged, seat);
    if (spawned) continue;
    kill_all(staged);
    staged.phase = Phase::kDraining;
    drop_empty_generations();
    return spawned;
  }
  return {};
}

// Finds or opens the sockets first: an address that cannot be had costs nothing that runs.
Result<void> Master::plan_seats(Generation& generation) {
  const Generation* current = in_phase(Phase::kCurrent);
  ListenSockets present = current != nullptr ? current->sockets : options_.inherited;
  for (const auto& other : generations_) {
    if (other.get() == current) continue;
    // An address that a draining generation still holds is taken up again, not bound twice.
    for (const SharedListenSocket& socket : other->sockets) {
      if (std::find(present.begin(), present.end(), socket) == present.end()) {
        present.push_back(socket);
      }
    }
  }
  for (const WorkerKindRow& row : options_.kinds) {
    const unsigned slots = row.slots(*generation.config, cores_);
    std::vector<Seat> seats(slots);
    for (unsigned slot = 0; slot < slots; ++slot) {
      seats[slot].row = &row;
      seats[slot].slot = static_cast<std::uint16_t>(slot);
    }
    if (slots > 0) {
      auto planned = plan_sockets(generation, row, present, seats, Transport::kTcp);
      if (planned) planned = plan_sockets(generation, row, present, seats, Transport::kUdp);
      if (!planned) return planned;
    }
    for (Seat& seat : seats) generation.seats.push_back(std::move(seat));
  }
  return {};
}

Result<void> Master::plan_sockets(Generation& generation, const WorkerKindRow& row,
                                  const ListenSockets& present, std::vector<Seat>& seats,
                                  Transport transport) {
  const auto listens = transport == Transport::kTcp ? row.listens : row.udp_listens;
  if (listens == nullptr) return {};
  const auto slots = static_cast<unsigned>(seats.size());
  for (const Endpoint& address : listens(*generation.config)) {
    const bool held = std::any_of(present.begin(), present.end(), [&](const auto& socket) {
      return socket->kind == row.kind && socket->transport == transport &&
             socket->address == address;
    });
    if (!held) {
      if (auto free = check_free(address, transport); !free) return free;
    }
    auto sockets = plan_listeners(present, row.kind, address, slots, transport);
    if (!sockets) return tl::unexpected(sockets.error());
    for (unsigned slot = 0; slot < slots; ++slot) {
      for (SharedListenSocket& mine : share_of_slot(*sockets, slot, slots)) {
        seats[slot].sockets.push_back(std::move(mine));
      }
    }
    generation.sockets.insert(generation.sockets.end(), sockets->begin(), sockets->end());
  }
  return {};
}

Result<void> Master::spawn(Generation& generation, Seat& seat) {
  const std::uint32_t page = state_->take_worker();
  if (page == ipc::kNoSlot) return fail("the table of workers is full");
  auto pair = ipc::Channel::make_pair();
  if (!pair) return tl::unexpected(pair.error());
  ipc::WorkerRecord record;
  record.kind = seat.row->kind;
  record.state = ipc::WorkerState::kStarting;
  record.slot = seat.slot;
  record.generation = generation.number;
  record.respawns = respawns_[{seat.row->kind, seat.slot}];
  record.started_wall_ms = wall_ms();
  ++session_serial_;
  net::advance(tickets_, monotonic_ms(), generation.config->tls.ticket_lifetime);
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("cannot fork", errno);
  if (pid == 0) enter_child(generation, seat, page, std::move(pair->second));
  record.pid = pid;
  state_->put_worker(page, record);
  seat.page = page;
  seat.respawn_at_ms = 0;
  Process process{
      pid,   generation.number, seat.row->kind, seat.slot, std::move(pair->first), false, false,
      false, monotonic_ms()};
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = page;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, process.channel.fd(), &event);
  processes_.emplace(page, std::move(process));
  LogLine(LogLevel::kInfo, "worker started")
      .field("kind", to_string(record.kind))
      .field("slot", record.slot)
      .field("worker_pid", pid)
      .field("generation", generation.number)
      .field("listeners", seat.sockets.size());
  return {};
}

void Master::enter_child(Generation& generation, const Seat& seat, std::uint32_t page,
                         ipc::Channel channel) {
  WorkerStart start;
  start.row = seat.row;
  start.config = generation.config.get();
  start.user = &user_;
  ipc::WorkerContext& context = start.context;
  context.kind = seat.row->kind;
  context.slot = seat.slot;
  context.generation = generation.number;
  context.page = page;
  context.channel = channel.release();
  context.tickets = tickets_;
  // The numbers are this process's own copies; the objects that hold them are never destroyed here.
  context.state.reset(state_->state_fd());
  context.counters.reset(state_->counters_fd());
  context.flows.reset(flows_->reader_fd());
  for (const SharedListenSocket& socket : seat.sockets) {
    const bool udp = socket->transport == Transport::kUdp;
    (udp ? context.udp_sockets : context.listeners).emplace_back(socket->fd.get());
  }
  context.first_session = (session_serial_ << kSessionBits) | 1U;
  run_worker_process(std::move(start));
}

void Master::commit(Generation& generation) {
  const bool first = in_phase(Phase::kCurrent) == nullptr;
  config_ = generation.config;
  registry_->apply(*config_, monotonic_ms());
  flows_->apply(*config_);
  const std::uint64_t limit = config_->worker_shutdown_timeout;
  const std::uint64_t deadline = limit == 0 ? 0 : monotonic_ms() + limit;
  for (const auto& other : generations_) {
    if (other->phase == Phase::kCurrent) drain(*other, deadline);
  }
  generation.phase = Phase::kCurrent;
  serve_all_flows(generation);
  options_.inherited.clear();
  ipc::StateHeader& header = state_->header();
  header.generation.store(generation.number, std::memory_order_relaxed);
  header.generations_alive.store(static_cast<std::uint32_t>(generations_.size()),
                                 std::memory_order_relaxed);
  // First, so that an old master which leaves at the byte below is the main process no more.
  notifier_.ready("serving");
  if (first) {
    LogLine(LogLevel::kNotice, "Weir is ready").field("workers", generation.seats.size());
    if (options_.ready) {
      [[maybe_unused]] const ssize_t written = ::write(options_.ready.get(), "1", 1);
      options_.ready.reset();
    }
  } else {
    header.reloads.fetch_add(1, std::memory_order_relaxed);
    LogLine(LogLevel::kNotice, "reload done")
        .field("generation", generation.number)
        .field("workers", generation.seats.size())
        .field("generations_alive", generations_.size());
  }
  cap_generations();
}

// The new workers did not come up: they go, the old ones never noticed.
void Master::abandon(Generation& generation, std::string_view why) {
  const bool first = in_phase(Phase::kCurrent) == nullptr && stop_ == Stop::kNo;
  generation.phase = Phase::kDraining;
  for (Seat& seat : generation.seats) seat.respawn_at_ms = 0;
  kill_all(generation);
  if (first) {
    LogLine(LogLevel::kError, "cannot start, the workers did not get ready").field("why", why);
    failed_to_start_ = true;
    stop_ = Stop::kQuick;
    return;
  }
  state_->header().reloads_failed.fetch_add(1, std::memory_order_relaxed);
  static_cast<void>(open_logs(*config_, nullptr));
  LogLine(LogLevel::kError, "reload given up, the old workers go on")
      .field("generation", generation.number)
      .field("why", why);
  notifier_.ready("serving; the last reload was given up");
}

// Gives up the generation's hold on its listen sockets: one that no other generation has closes, so
// that clients are refused there rather than left to wait for nobody.
void Master::release_sockets(Generation& generation) {
  generation.sockets.clear();
  for (Seat& seat : generation.seats) {
    seat.sockets.clear();
    seat.respawn_at_ms = 0;
  }
}

void Master::drain(Generation& generation, std::uint64_t deadline_ms) {
  generation.phase = Phase::kDraining;
  release_sockets(generation);
  generation.quit_at_ms = deadline_ms == 0 ? 0 : deadline_ms + kDeadlineSlackMs;
  for (Seat& seat : generation.seats) {
    const auto found = processes_.find(seat.page);
    if (found == processes_.end() || stays_for_flows(found->second.kind)) continue;
    ipc::WorkerRecord record = state_->worker(seat.page);
    record.state = ipc::WorkerState::kDraining;
    state_->put_worker(seat.page, record);
    ipc::Drain message;
    message.deadline_ms = deadline_ms;
    found->second.told_to_leave = true;
    send(found->second, seat.page, message);
    flows_->worker_drains(seat.page, monotonic_ms());
  }
  LogLine(LogLevel::kNotice, "generation drains").field("generation", generation.number);
}

void Master::quit(Generation& generation) {
  generation.phase = Phase::kDraining;
  generation.quit_at_ms = 0;
  const std::uint64_t kill_at = monotonic_ms() + config_->force_quit_timeout;
  if (generation.kill_at_ms == 0 || generation.kill_at_ms > kill_at)
    generation.kill_at_ms = kill_at;
  for (Seat& seat : generation.seats) {
    seat.respawn_at_ms = 0;
    const auto found = processes_.find(seat.page);
    if (found == processes_.end()) continue;
    ipc::Quit message;
    found->second.told_to_leave = true;
    send(found->second, seat.page, message);
  }
}

void Master::kill_all(Generation& generation) {
  generation.kill_at_ms = 0;
  for (auto& [page, process] : processes_) {
    if (process.generation != generation.number) continue;
    process.told_to_leave = true;
    ::kill(process.pid, SIGKILL);
  }
}

void Master::cap_generations() {
  const auto limit = static_cast<std::size_t>(config_->worker_generations_max);
  std::size_t alive = generations_.size();
  for (const auto& generation : generations_) {
    if (alive <= limit) return;
    if (generation->phase != Phase::kDraining) continue;
    if (generation->kill_at_ms == 0) {
      LogLine(LogLevel::kWarn, "too many generations, ending the oldest one's sessions")
          .field("generation", generation->number);
      quit(*generation);
    }
    --alive;
  }
}

bool Master::left(const Generation& generation) const {
  return std::none_of(processes_.begin(), processes_.end(), [&](const auto& entry) {
    return entry.second.generation == generation.number;
  });
}

void Master::drop_empty_generations() {
  for (auto it = generations_.begin(); it != generations_.end();) {
    if ((*it)->phase != Phase::kDraining || !left(**it)) {
      ++it;
      continue;
    }
    LogLine(LogLevel::kNotice, "generation has gone").field("generation", (*it)->number);
    it = generations_.erase(it);
  }
  state_->header().generations_alive.store(static_cast<std::uint32_t>(generations_.size()),
                                           std::memory_order_relaxed);
}

void Master::generation_timers(std::uint64_t now_ms) {
  for (const auto& generation : generations_) {
    if (generation->phase == Phase::kStarting && now_ms >= generation->ready_by_ms) {
      abandon(*generation, "no READY within worker_ready_timeout");
    }
    if (generation->quit_at_ms != 0 && now_ms >= generation->quit_at_ms) {
      LogLine(LogLevel::kNotice, "generation is over its time, ending its sessions")
          .field("generation", generation->number);
      quit(*generation);
    }
    if (generation->kill_at_ms != 0 && now_ms >= generation->kill_at_ms) {
      LogLine(LogLevel::kWarn, "workers do not leave, killing them")
          .field("generation", generation->number);
      kill_all(*generation);
    }
  }
  respawn_due(now_ms);
  drop_empty_generations();
}

void Master::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    const auto found = std::find_if(processes_.begin(), processes_.end(),
                                    [pid](const auto& entry) { return entry.second.pid == pid; });
    if (found != processes_.end()) on_end(found->first, status);
  }
}

void Master::on_end(std::uint32_t page, int status) {
  // What it said before it ended still counts; the socket's buffer bounds how much that is.
  receive_batch(page, kLastWords);
  const Process process = std::move(processes_.at(page));
  processes_.erase(page);
  registry_->worker_gone(page, monotonic_ms());
  flows_->worker_gone(page, monotonic_ms());
  state_->free_worker(page);
  Generation* generation = find_generation(process.generation);
  Seat* seat = nullptr;
  if (generation != nullptr) {
    for (Seat& each : generation->seats) {
      if (each.page == page) seat = &each;
    }
  }
  const bool as_told = process.told_to_leave;
  if (!as_told) state_->header().worker_deaths.fetch_add(1, std::memory_order_relaxed);
  LogLine(as_told ? LogLevel::kInfo : LogLevel::kError, as_told ? "worker has left" : "worker died")
      .field("kind", to_string(process.kind))
      .field("slot", process.slot)
      .field("worker_pid", process.pid)
      .field("generation", process.generation)
      .field("how", how_it_ended(status))
      .field("lived_ms", monotonic_ms() - process.started_ms);
  if (seat == nullptr) return;
  seat->page = ipc::kNoSlot;
  if (stop_ == Stop::kNo) plan_respawn(*generation, *seat, process, status);
  drop_empty_generations();
}

void Master::plan_respawn(Generation& generation, Seat& seat, const Process& process, int status) {
  if (generation.phase == Phase::kDraining) return;
  if (generation.phase == Phase::kStarting) {
    abandon(generation, "a worker ended before it was ready");
    return;
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == ipc::kExitDoNotRespawn) {
    LogLine(LogLevel::kError, "worker cannot work here and is not started again")
        .field("kind", to_string(process.kind))
        .field("slot", process.slot);
    // Nobody will accept there: the sockets close, and the kernel gives new clients to other slots.
    for (const SharedListenSocket& socket : seat.sockets) std::erase(generation.sockets, socket);
    seat.sockets.clear();
    return;
  }
  const std::uint64_t now = monotonic_ms();
  if (now - process.started_ms >= kLongLifeMs) seat.failures = 0;
  std::uint64_t wait = 0;
  if (seat.failures > 0) {
    const std::uint32_t doublings = std::min(seat.failures - 1, 10U);
    wait = std::min(kBackoffMaxMs, kBackoffFirstMs << doublings);
  }
  ++seat.failures;
  seat.respawn_at_ms = now + wait;
}

// Counted in beats of the master, not in time: one that was itself stopped blames nobody.
void Master::end_hung_workers() {
  const std::uint64_t limit = config_->worker_hang_timeout / ipc::kBeatMs;
  if (config_->worker_hang_timeout == 0) return;
  for (auto& [page, process] : processes_) {
    const std::uint64_t beats = state_->worker_beats(page);
    process.beats_missed = beats == process.beats ? process.beats_missed + 1 : 0;
    process.beats = beats;
    if (process.beats_missed <= limit + 1) continue;
    // The first try leaves a core dump, where the limit allows one; a stopped process needs the
    // other.
    const bool again = process.beats_missed > limit + 2;
    ::kill(process.pid, again ? SIGKILL : SIGABRT);
    if (again) continue;
    LogLine(LogLevel::kError, "worker hangs, ending it")
        .field("kind", to_string(process.kind))
        .field("slot", process.slot)
        .field("worker_pid", process.pid)
        .field("silent_s", process.beats_missed * ipc::kBeatMs / 1000);
  }
}

void Master::respawn_due(std::uint64_t now_ms) {
  Generation* current = in_phase(Phase::kCurrent);
  if (current == nullptr || stop_ != Stop::kNo) return;
  for (Seat& seat : current->seats) {
    if (seat.respawn_at_ms == 0 || now_ms < seat.respawn_at_ms) continue;
    ++respawns_[{seat.row->kind, seat.slot}];
    if (auto spawned = spawn(*current, seat); !spawned) {
      LogLine(LogLevel::kError, "cannot start a worker").field("error", spawned.error().text);
      seat.respawn_at_ms = now_ms + kBackoffMaxMs;
    }
  }
}

}  // namespace weir
