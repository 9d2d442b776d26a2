// Master, its workers: ready, probes, end, respawn (docs/RELOAD.md).
#include <sys/wait.h>

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "supervisor/master.h"

namespace weir {
namespace {

constexpr std::uint64_t kBackoffFirstMs = 100;
constexpr std::uint64_t kBackoffMaxMs = 10000;
constexpr std::uint64_t kLongLifeMs = 60000;  // whoever lived so long did not fail at starting

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) {
    return "signal " + std::to_string(WTERMSIG(status)) +
           (WCOREDUMP(status) ? ", core dumped" : "");
  }
  return "exit " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

void Master::on_ready(WorkerProcess& process, std::uint32_t page) {
  if (process.ready) return;
  process.ready = true;
  ipc::WorkerRecord record = state_->worker(page);
  if (record.state == ipc::WorkerState::kStarting) record.state = ipc::WorkerState::kReady;
  state_->put_worker(page, record);
  LogLine(LogLevel::kInfo, "worker is ready")
      .field("kind", to_string(process.kind))
      .field("slot", process.slot)
      .field("worker_pid", process.pid)
      .field("generation", process.generation)
      .field("after_ms", monotonic_ms() - process.started_ms);
  Generation* generation = generations_.find(process.generation);
  if (generation == nullptr) return;
  if (generation->phase == Phase::kCurrent) {
    if (const Seat* seat = generation->seat_of(page)) flow_service_.serve(*generation, *seat);
  }
  if (generation->phase != Phase::kStarting) return;
  for (const Seat& seat : generation->seats) {
    WorkerProcess* const found = pool_.find(seat.page);
    if (found == nullptr || !found->ready) return;
  }
  commit(*generation);
}

// Without a control worker nobody probes, and then nobody is ejected either.
void Master::send_orders() {
  auto probes = registry_->origins().take_probes();
  const Generation* current = generations_.current();
  for (std::size_t i = 0; !probes.empty() && current != nullptr && i < current->seats.size(); ++i) {
    const std::uint32_t page = current->seats[i].page;
    WorkerProcess* const found = pool_.find(page);
    if (found == nullptr || found->kind != ipc::WorkerKind::kControl) continue;
    for (ipc::ProbeNow& probe : probes) pool_.send(*found, page, probe);
  }
  // Sessions that wait for a stream which has come up elsewhere.
  for (auto& [worker, order] : registry_->take_ends()) {
    if (worker == Registry::kNoWorker) {
      // What has come over UDP is not looked at: only what is sure ends such a session.
      if (order.reason != ipc::SessionEndReason::kMoved) continue;
      flow_service_.flows().end_session(order.session, ipc::FlowEndReason::kStreamMoved,
                                        monotonic_ms());
    } else if (WorkerProcess* const to = pool_.find(worker); to != nullptr) {
      pool_.send(*to, worker, order);
    }
  }
}

void Master::on_end(std::uint32_t page, const WorkerProcess& process, int status) {
  registry_->worker_gone(page, monotonic_ms());
  flow_service_.flows().worker_gone(page, monotonic_ms());
  state_->free_worker(page);
  Generation* generation = generations_.find(process.generation);
  Seat* seat = generation != nullptr ? generation->seat_of(page) : nullptr;
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

void Master::plan_respawn(Generation& generation, Seat& seat, const WorkerProcess& process,
                          int status) {
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

// One a turn of the loop, as in fork_next().
void Master::respawn_due(std::uint64_t now_ms) {
  Generation* current = generations_.current();
  if (current == nullptr || stop_ != Stop::kNo) return;
  const auto due =
      std::find_if(current->seats.begin(), current->seats.end(), [now_ms](const Seat& seat) {
        return seat.respawn_at_ms != 0 && now_ms >= seat.respawn_at_ms;
      });
  if (due == current->seats.end()) return;
  forks_.count_respawn(*due);
  if (auto spawned = forks_.spawn(*current, *due); !spawned) {
    LogLine(LogLevel::kError, "cannot start a worker")
        .field("kind", to_string(due->row->kind))
        .field("slot", due->slot)
        .field("error", spawned.error().text);
    due->respawn_at_ms = now_ms + kBackoffMaxMs;
  }
}

}  // namespace weir
