// Master, generations: reload, room for another one, drain, end (docs/RELOAD.md).
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "supervisor/master.h"
#include "supervisor/tls_check.h"
#include "supervisor/worker_table_check.h"

namespace weir {
namespace {

constexpr std::uint64_t kDeadlineSlackMs = 1000;  // workers end their sessions themselves first
constexpr const char* kTableFull =
    "the table of workers (max_workers) has no room for another generation";

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
    LogLine(LogLevel::kError, "reload refused, nothing has changed").field("reason", why);
    notifier_.ready("serving; the last reload was refused");
  };
  LoadOutcome loaded = load_config(options_.config_path, options_.environment);
  check_tls(loaded);
  check_worker_table(loaded, options_.kinds, cores_, config_->max_workers);
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
  if (auto planned = plan_seats(*generation); !planned) return planned;
  // Twice: the next generation, too, is seen by this one's metrics.
  const std::size_t workers = processes_.size() + 2 * generation->seats.size();
  if (auto pages = state_->expect_workers(workers); !pages) return pages;
  Generation& staged = *generations_.emplace_back(std::move(generation));
  if (!make_room(staged)) {
    generations_.pop_back();
    return fail(kTableFull);
  }
  return {};
}

// One fork a turn of the loop: all of a generation in one go, with 64 workers a kind, would keep
// signals, messages and route requests waiting for seconds.
void Master::fork_next() {
  Generation* staged = in_phase(Phase::kStarting);
  if (staged == nullptr || staged->forked == staged->seats.size()) return;
  if (free_places() == 0) {
    if (!make_room(*staged)) abandon(*staged, kTableFull);
    return;
  }
  if (auto spawned = spawn(*staged, staged->seats[staged->forked]); !spawned) {
    abandon(*staged, spawned.error().text);
    return;
  }
  if (++staged->forked < staged->seats.size()) return;
  staged->ready_by_ms = monotonic_ms() + staged->config->worker_ready_timeout;
}

bool Master::can_fork() const {
  return free_places() > 0 &&
         std::any_of(generations_.begin(), generations_.end(), [](const auto& generation) {
           return generation->phase == Phase::kStarting &&
                  generation->forked < generation->seats.size();
         });
}

// Places in the table of workers that nobody has and no worker waits for that is to be replaced.
std::size_t Master::free_places() const {
  std::size_t taken = processes_.size();
  for (const auto& generation : generations_) {
    if (generation->phase != Phase::kCurrent) continue;
    taken += static_cast<std::size_t>(
        std::count_if(generation->seats.begin(), generation->seats.end(),
                      [](const Seat& seat) { return seat.respawn_at_ms != 0; }));
  }
  const std::size_t capacity = state_->header().worker_capacity;
  return capacity > taken ? capacity - taken : 0;
}

std::size_t Master::processes_of(const Generation& generation) const {
  return static_cast<std::size_t>(std::count_if(
      processes_.begin(), processes_.end(),
      [&generation](const auto& entry) { return entry.second.generation == generation.number; }));
}

// Ends the oldest generations, as many as have the places that `staged` still needs. False: those
// of all that drain would not do.
bool Master::make_room(const Generation& staged) {
  const std::size_t needed = staged.seats.size() - staged.forked;
  std::size_t places = free_places();
  std::vector<Generation*> to_end;
  for (const auto& generation : generations_) {
    if (generation->phase == Phase::kDraining && generation->ending) {
      places += processes_of(*generation);
    }
  }
  for (const auto& generation : generations_) {
    if (places >= needed) break;
    if (generation->phase != Phase::kDraining || generation->ending) continue;
    places += processes_of(*generation);
    to_end.push_back(generation.get());
  }
  if (places < needed) return false;
  for (Generation* generation : to_end) {
    end_early(*generation, "no room for another generation, ending the oldest one's sessions");
  }
  return true;
}

void Master::end_early(Generation& generation, std::string_view why) {
  LogLine(LogLevel::kWarn, why)
      .field("generation", generation.number)
      .field("workers", processes_of(generation))
      .field("places", state_->header().worker_capacity)
      .field("generations_alive", generations_.size());
  state_->header().generations_ended.fetch_add(1, std::memory_order_relaxed);
  quit(generation);
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
    LogLine(LogLevel::kError, "cannot start, the workers did not get ready").field("reason", why);
    failed_to_start_ = true;
    stop_ = Stop::kQuick;
    return;
  }
  state_->header().reloads_failed.fetch_add(1, std::memory_order_relaxed);
  static_cast<void>(open_logs(*config_, nullptr));
  LogLine(LogLevel::kError, "reload given up, the old workers go on")
      .field("generation", generation.number)
      .field("reason", why);
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
    order(found->second, seat.page, message);
    flows_->worker_drains(seat.page, monotonic_ms());
  }
  LogLine(LogLevel::kNotice, "generation drains").field("generation", generation.number);
}

void Master::quit(Generation& generation) {
  generation.phase = Phase::kDraining;
  generation.ending = true;
  generation.quit_at_ms = 0;
  const std::uint64_t kill_at = monotonic_ms() + config_->force_quit_timeout;
  if (generation.kill_at_ms == 0 || generation.kill_at_ms > kill_at)
    generation.kill_at_ms = kill_at;
  for (Seat& seat : generation.seats) {
    seat.respawn_at_ms = 0;
    const auto found = processes_.find(seat.page);
    if (found == processes_.end()) continue;
    ipc::Quit message;
    order(found->second, seat.page, message);
  }
}

void Master::kill_all(Generation& generation) {
  generation.ending = true;
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
    if (!generation->ending) {
      end_early(*generation, "too many generations, ending the oldest one's sessions");
    }
    --alive;
  }
}

void Master::drop_empty_generations() {
  for (auto it = generations_.begin(); it != generations_.end();) {
    if ((*it)->phase != Phase::kDraining || processes_of(**it) != 0) {
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
    if (generation->phase == Phase::kStarting && generation->ready_by_ms != 0 &&
        now_ms >= generation->ready_by_ms) {
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

}  // namespace weir
