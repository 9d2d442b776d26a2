// Master, generations: reload, room for another one, drain, end (docs/RELOAD.md).
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "supervisor/listen_report.h"
#include "supervisor/log_files.h"
#include "supervisor/master.h"
#include "supervisor/tls_check.h"
#include "supervisor/worker_table_check.h"

namespace weir {
namespace {

constexpr std::uint64_t kDeadlineSlackMs = 1000;  // workers end their sessions themselves first
constexpr const char* kTableFull =
    "the table of workers (max_workers) has no room for another generation";

}  // namespace

void Master::reload() {
  reload_wanted_ = false;
  commands_.reload_begins();
  notifier_.reloading();
  LogLine(LogLevel::kNotice, "reload: reading the configuration")
      .field("config", options_.config_path.empty() ? "built-in defaults" : options_.config_path);
  const auto refuse = [this](std::string_view why, std::string_view in_detail) {
    state_->header().reloads_failed.fetch_add(1, std::memory_order_relaxed);
    LogLine(LogLevel::kError, "reload refused, nothing has changed").field("reason", why);
    commands_.reload_ended(false, in_detail);
    reload_trouble_ = why;
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
    return refuse("the configuration has faults", lines_of(loaded.faults));
  }
  for (const std::string& option : restart_changes(*config_, loaded.config)) {
    LogLine(LogLevel::kWarn, "option needs a restart, its old value stays").field("option", option);
  }
  keep_restart_values(*config_, loaded.config);
  if (auto opened = open_logs(loaded.config, config_.get()); !opened)
    return refuse(opened.error().text, opened.error().text);
  if (auto staged = stage(std::make_shared<const Config>(std::move(loaded.config))); !staged) {
    static_cast<void>(open_logs(*config_, nullptr));
    refuse(staged.error().text, staged.error().text);
  }
}

Result<void> Master::stage(std::shared_ptr<const Config> config) {
  auto generation = std::make_unique<Generation>();
  generation->number = next_generation_++;
  generation->config = std::move(config);
  const Generation* current = generations_.current();
  ListenSockets present = current != nullptr ? current->sockets : options_.inherited;
  for (const auto& other : generations_.all()) {
    if (other.get() == current) continue;
    // An address that a draining generation still holds is taken up again, not bound twice.
    for (const SharedListenSocket& socket : other->sockets) {
      if (std::find(present.begin(), present.end(), socket) == present.end()) {
        present.push_back(socket);
      }
    }
  }
  if (auto planned = plan_seats(*generation, options_.kinds, cores_, present); !planned) {
    return planned;
  }
  // Twice: the next generation, too, is seen by this one's metrics.
  const std::size_t workers = pool_.size() + 2 * generation->seats.size();
  if (auto pages = state_->expect_workers(workers); !pages) return pages;
  Generation& staged = generations_.add(std::move(generation));
  if (!make_room(staged)) {
    generations_.drop_last();
    return fail(kTableFull);
  }
  return {};
}

// One fork a turn of the loop: all of a generation in one go, with 64 workers a kind, would keep
// signals, messages and route requests waiting for seconds.
void Master::fork_next() {
  Generation* staged = generations_.in_phase(Phase::kStarting);
  if (staged == nullptr || !staged->to_fork()) return;
  if (free_places() == 0) {
    if (!make_room(*staged)) abandon(*staged, kTableFull);
    return;
  }
  if (auto spawned = forks_.spawn(*staged, staged->seats[staged->forked]); !spawned) {
    abandon(*staged, spawned.error().text);
    return;
  }
  if (++staged->forked < staged->seats.size()) return;
  staged->ready_by_ms = monotonic_ms() + staged->config->worker_ready_timeout;
}

bool Master::can_fork() const {
  return free_places() > 0 &&
         std::any_of(generations_.all().begin(), generations_.all().end(),
                     [](const auto& generation) { return generation->to_fork(); });
}

// Places in the table of workers that nobody has and no worker waits for that is to be replaced.
std::size_t Master::free_places() const {
  std::size_t taken = pool_.size();
  for (const auto& generation : generations_.all()) {
    if (generation->phase != Phase::kCurrent) continue;
    taken += static_cast<std::size_t>(
        std::count_if(generation->seats.begin(), generation->seats.end(),
                      [](const Seat& seat) { return seat.respawn_at_ms != 0; }));
  }
  const std::size_t capacity = state_->header().worker_capacity;
  return capacity > taken ? capacity - taken : 0;
}

// Ends the oldest generations, as many as have the places that `staged` still needs. False: those
// of all that drain would not do.
bool Master::make_room(const Generation& staged) {
  const std::size_t needed = staged.seats.size() - staged.forked;
  std::size_t places = free_places();
  std::vector<Generation*> to_end;
  for (const auto& generation : generations_.all()) {
    if (generation->phase == Phase::kDraining && generation->ending) {
      places += pool_.count(generation->number);
    }
  }
  for (const auto& generation : generations_.all()) {
    if (places >= needed) break;
    if (generation->phase != Phase::kDraining || generation->ending) continue;
    places += pool_.count(generation->number);
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
      .field("workers", pool_.count(generation.number))
      .field("places", state_->header().worker_capacity)
      .field("generations_alive", generations_.size());
  state_->header().generations_ended.fetch_add(1, std::memory_order_relaxed);
  quit(generation);
}

void Master::commit(Generation& generation) {
  const bool first = generations_.current() == nullptr;
  // Its manager has seen the main process die and starts the service again: two would be too many.
  if (first && predecessor_.has_ended() && notifier_.has_manager()) {
    return abandon(generation, "the old program ended before this one was up");
  }
  const auto before = std::exchange(config_, generation.config);
  registry_->apply(*config_, monotonic_ms());
  flow_service_.flows().apply(*config_);
  const std::uint64_t limit = config_->worker_shutdown_timeout;
  const std::uint64_t deadline = limit == 0 ? 0 : monotonic_ms() + limit;
  for (const auto& other : generations_.all()) {
    if (other->phase == Phase::kCurrent) drain(*other, deadline);
  }
  generation.phase = Phase::kCurrent;
  flow_service_.serve_all(generation);
  options_.inherited.clear();
  ipc::StateHeader& header = state_->header();
  header.generation.store(generation.number, std::memory_order_relaxed);
  header.generations_alive.store(static_cast<std::uint32_t>(generations_.size()),
                                 std::memory_order_relaxed);
  reload_trouble_.clear();
  options_.store.keep(generation.sockets, notifier_);
  // First, so that an old master which leaves at the byte below is the main process no more.
  notifier_.ready("serving");
  if (first) {
    LogLine(LogLevel::kNotice, "Weir is ready").field("workers", generation.seats.size());
    if (options_.ready) {
      [[maybe_unused]] const ssize_t written = ::write(options_.ready.get(), &kServiceUp, 1);
      options_.ready.reset();
    }
  } else {
    header.reloads.fetch_add(1, std::memory_order_relaxed);
    LogLine(LogLevel::kNotice, "reload done")
        .field("generation", generation.number)
        .field("workers", generation.seats.size())
        .field("generations_alive", generations_.size());
    commands_.reload_ended(true, "generation " + std::to_string(generation.number) + " serves, " +
                                     std::to_string(generation.seats.size()) + " workers");
  }
  log_listeners(*config_, first ? nullptr : before.get());
  cap_generations();
}

// The new workers did not come up: they go, the old ones never noticed.
void Master::abandon(Generation& generation, std::string_view why) {
  const bool first = generations_.current() == nullptr && stop_ == Stop::kNo;
  generation.phase = Phase::kDraining;
  for (Seat& seat : generation.seats) seat.respawn_at_ms = 0;
  kill_all(generation);
  if (first) {
    LogLine(LogLevel::kError, "cannot start, the workers did not get ready").field("reason", why);
    leave_last_words(options_.ready, why);
    failed_to_start_ = true;
    stop_ = Stop::kQuick;
    return;
  }
  state_->header().reloads_failed.fetch_add(1, std::memory_order_relaxed);
  static_cast<void>(open_logs(*config_, nullptr));
  LogLine(LogLevel::kError, "reload given up, the old workers go on")
      .field("generation", generation.number)
      .field("reason", why);
  commands_.reload_ended(false, why);
  reload_trouble_ = why;
  notifier_.ready("serving; the last reload was given up");
}

void Master::drain(Generation& generation, std::uint64_t deadline_ms) {
  generation.phase = Phase::kDraining;
  generation.release_sockets();
  generation.quit_at_ms = deadline_ms == 0 ? 0 : deadline_ms + kDeadlineSlackMs;
  for (Seat& seat : generation.seats) {
    WorkerProcess* const found = pool_.find(seat.page);
    if (found == nullptr || stays_to_the_end(found->kind)) continue;
    ipc::WorkerRecord record = state_->worker(seat.page);
    record.state = ipc::WorkerState::kDraining;
    state_->put_worker(seat.page, record);
    ipc::Drain message;
    message.deadline_ms = deadline_ms;
    pool_.order(*found, seat.page, message);
    flow_service_.flows().worker_drains(seat.page, monotonic_ms());
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
    WorkerProcess* const found = pool_.find(seat.page);
    if (found == nullptr) continue;
    ipc::Quit message;
    pool_.order(*found, seat.page, message);
  }
}

void Master::kill_all(Generation& generation) {
  generation.ending = true;
  generation.kill_at_ms = 0;
  pool_.kill_all(generation.number);
}

void Master::cap_generations() {
  const auto limit = static_cast<std::size_t>(config_->worker_generations_max);
  std::size_t alive = generations_.size();
  for (const auto& generation : generations_.all()) {
    if (alive <= limit) return;
    if (generation->phase != Phase::kDraining) continue;
    if (!generation->ending) {
      end_early(*generation, "too many generations, ending the oldest one's sessions");
    }
    --alive;
  }
}

void Master::drop_empty_generations() {
  for (auto it = generations_.all().begin(); it != generations_.all().end();) {
    if ((*it)->phase != Phase::kDraining || pool_.count((*it)->number) != 0) {
      ++it;
      continue;
    }
    LogLine(LogLevel::kNotice, "generation has gone").field("generation", (*it)->number);
    it = generations_.all().erase(it);
  }
  state_->header().generations_alive.store(static_cast<std::uint32_t>(generations_.size()),
                                           std::memory_order_relaxed);
}

void Master::generation_timers(std::uint64_t now_ms) {
  for (const auto& generation : generations_.all()) {
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

// ---- the end of a graceful stop

// Sessions of WebRTC and SRT go on for as long as those of the other protocols: the file keeps
// them, and what comes after the stop finds them sooner the later they are left. And as long as
// there are sessions somebody wants to see them: metrics, health.
bool Master::stays_to_the_end(ipc::WorkerKind kind) const {
  return stop_ == Stop::kGraceful && !upgraded_ &&
         (serves_flows(kind) || kind == ipc::WorkerKind::kControl);
}

void Master::quit_last_workers() {
  if (stop_ != Stop::kGraceful || upgraded_) return;
  for (const auto& [page, process] : pool_.all()) {
    if (!stays_to_the_end(process.kind)) return;
  }
  flow_service_.flows().freeze();
  for (auto& [page, process] : pool_.all()) {
    if (process.told_to_leave) continue;
    if (process.kind == ipc::WorkerKind::kControl) {
      ipc::Drain message;  // hooks that are under way are finished
      message.deadline_ms = stop_by_ms_;
      pool_.order(process, page, message);
    } else {
      ipc::Quit message;
      pool_.order(process, page, message);
    }
  }
}

}  // namespace weir
