// Master, processes: fork, end, respawn, hang (docs/RELOAD.md).
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/tls_ticket.h"
#include "ipc/counters.h"
#include "supervisor/master.h"

namespace weir {
namespace {

constexpr std::uint64_t kBackoffFirstMs = 100;
constexpr std::uint64_t kBackoffMaxMs = 10000;
constexpr std::uint64_t kLongLifeMs = 60000;  // whoever lived so long did not fail at starting
constexpr int kLastWords = 100000;
constexpr int kReapsAtOnce = 16;       // a generation that leaves must not hold up the others
constexpr unsigned kSessionBits = 36;  // sessions of one process before ids could meet

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) {
    return "signal " + std::to_string(WTERMSIG(status)) +
           (WCOREDUMP(status) ? ", core dumped" : "");
  }
  return "exit " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

Result<void> Master::spawn(Generation& generation, Seat& seat) {
  const std::uint32_t page = state_->take_worker();
  if (page == ipc::kNoSlot) return fail("the table of workers is full");
  auto pair = ipc::Channel::make_pair();
  if (!pair) return tl::unexpected(pair.error());
  // Before the fork: a worker that cannot be heard is not started.
  if (!watch_input(pair->first.fd(), page)) return fail_errno("cannot watch a channel", errno);
  ipc::WorkerRecord record;
  record.kind = seat.row->kind;
  record.state = ipc::WorkerState::kStarting;
  record.slot = seat.slot;
  record.generation = generation.number;
  record.respawns = respawns_[{seat.row->kind, seat.slot}];
  record.started_wall_ms = wall_ms();
  ++session_serial_;
  net::advance(tickets_, monotonic_ms(), generation.config->tls.ticket_lifetime);
  const ipc::CounterPages::Loan loan(state_->counters(), page);
  if (!loan.ok()) return fail_errno("cannot give a worker its counter page", errno);
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
  context.counters = state_->counters().page(page);
  context.all_counters = state_->counters().all();
  context.flows.reset(flows_->reader_fd());
  for (const SharedListenSocket& socket : seat.sockets) {
    const bool udp = socket->transport == Transport::kUdp;
    (udp ? context.udp_sockets : context.listeners).emplace_back(socket->fd.get());
  }
  context.first_session = (session_serial_ << kSessionBits) | 1U;
  run_worker_process(std::move(start));
}

void Master::reap() {
  for (int i = 0; i < kReapsAtOnce; ++i) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    const auto found = std::find_if(processes_.begin(), processes_.end(),
                                    [pid](const auto& entry) { return entry.second.pid == pid; });
    if (found != processes_.end()) on_end(found->first, status);
  }
  pending_signals_[SIGCHLD] = true;  // the rest has its turn
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

// One a turn of the loop, as in fork_next().
void Master::respawn_due(std::uint64_t now_ms) {
  Generation* current = in_phase(Phase::kCurrent);
  if (current == nullptr || stop_ != Stop::kNo) return;
  const auto due =
      std::find_if(current->seats.begin(), current->seats.end(), [now_ms](const Seat& seat) {
        return seat.respawn_at_ms != 0 && now_ms >= seat.respawn_at_ms;
      });
  if (due == current->seats.end()) return;
  ++respawns_[{due->row->kind, due->slot}];
  if (auto spawned = spawn(*current, *due); !spawned) {
    LogLine(LogLevel::kError, "cannot start a worker")
        .field("kind", to_string(due->row->kind))
        .field("slot", due->slot)
        .field("error", spawned.error().text);
    due->respawn_at_ms = now_ms + kBackoffMaxMs;
  }
}

}  // namespace weir
