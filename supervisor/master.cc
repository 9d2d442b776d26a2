#include "supervisor/master.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "common/net/tls_server.h"
#include "ipc/counters.h"
#include "supervisor/flow_store.h"
#include "supervisor/log_files.h"
#include "supervisor/state_store.h"

namespace weir {
namespace {

constexpr std::uint64_t kAddressWaitMs = 2000;
constexpr int kAddressPollMs = 50;
constexpr std::uint64_t kSignalToken = ~0ULL;
constexpr std::uint64_t kUpgradeToken = ~0ULL - 1;
constexpr int kEventsAtOnce = 256;
constexpr std::uint64_t kStopSlackMs = 5000;     // beyond force_quit_timeout, for the manager
constexpr std::uint64_t kUpgradeSlackMs = 5000;  // beyond worker_ready_timeout
constexpr std::string_view kOldSuffix = ".oldbin";

std::uint64_t random_word() {
  std::uint64_t word = 0;
  if (::getrandom(&word, sizeof word, 0) != sizeof word) word = monotonic_us();
  return word;
}

// Origins that registered with the old master, where its streams are, and whether it was drained.
void adopt_routes(Registry& registry, ipc::StateHeader& header, int old_state) {
  if (old_state < 0) return;
  auto view = ipc::StateView::map(old_state);
  if (!view) {
    LogLine(LogLevel::kWarn,
            "routes of the old program are lost, origins come back with their next heartbeat")
        .field("error", view.error().text);
    return;
  }
  header.leaving = view->header().leaving.load(std::memory_order_relaxed);
  registry.adopt(std::move(*view));
}

}  // namespace

Master::Master(MasterOptions options, Config config)
    : options_(std::move(options)),
      config_(std::make_shared<const Config>(std::move(config))),
      pool_({[this](WorkerProcess& from, std::uint32_t page, ByteView message) {
               if (messages_->dispatch(from, page, message)) on_ready(from, page);
             },
             [this](std::uint32_t page, const WorkerProcess& process, int status) {
               on_end(page, process, status);
             }}),
      commands_(pool_),
      forks_(pool_),
      predecessor_(std::move(options_.predecessor)) {
  options_.store.expect(options_.inherited);
}

Master::~Master() = default;

Result<void> Master::set_up() {
  if (auto done = pool_.set_up(); !done) return done;
  if (auto done = signals_.set_up(); !done) return done;
  if (!pool_.watch_input(signals_.fd(), kSignalToken)) {
    return fail_errno("cannot watch signals", errno);
  }
  if (auto done = forks_.set_up(*config_, random_word()); !done) return done;
  cores_ = static_cast<unsigned>(allowed_cores().size());
  if (!config_->certificates.empty()) {
    LogLine(LogLevel::kInfo, "TLS")
        .field("certificates", config_->certificates.size())
        .field("ktls", net::ktls_support());
  }
  return {};
}

int Master::run() {
  LogLine(LogLevel::kNotice, "Weir starts")
      .field("version", version())
      .field("config", options_.config_path.empty() ? "built-in defaults" : options_.config_path);
  auto done = set_up();
  if (done) done = set_up_state();
  if (done) done = set_up_sessions();
  if (done) {
    done = first_stage();
  }
  if (!done) {
    LogLine(LogLevel::kError, "cannot start").field("error", done.error().text);
    leave_last_words(options_.ready, done.error().text);
    options_.pid_file.remove();
    return 1;
  }
  next_beat_ms_ = monotonic_ms();
  while (!finished()) {
    wait(timeout_ms(monotonic_ms()));
    act_on_signals();
    run_timers(monotonic_ms());
    send_orders();
  }
  options_.pid_file.remove();
  control_socket_.remove();
  LogLine(LogLevel::kNotice, "Weir has stopped").field("failed", failed_to_start_);
  return failed_to_start_ ? 1 : 0;
}

// Origins and streams: those of the configuration, and what an earlier master knew.
Result<void> Master::set_up_state() {
  const bool upgrade = static_cast<bool>(options_.handover);
  session_file_ = lock_session_file(*config_, std::move(options_.session_lock));
  auto store = open_state_store(*config_, upgrade, session_file_ ? &*session_file_ : nullptr);
  if (!store) return tl::unexpected(store.error());
  state_.emplace(std::move(store->table));
  state_file_ = std::move(store->file);
  registry_.emplace(*state_, random_word());
  const std::uint64_t now = monotonic_ms();
  registry_->apply(*config_, now);
  if (store->saved) registry_->restore(*store->saved, now);
  adopt_routes(*registry_, state_->header(), options_.old_state.get());
  forks_.share_old_state(std::move(options_.old_state));
  return {};
}

// The table of sessions that outlive workers, and who hears what workers say.
Result<void> Master::set_up_sessions() {
  auto done = flow_service_.set_up(
      *config_, *registry_,
      [this](std::uint32_t page, ByteView bytes, int fd) {
        WorkerProcess* const to = pool_.find(page);
        return to != nullptr && pool_.send_bytes(*to, page, bytes, fd);
      },
      std::move(options_.handover), std::move(session_file_));
  if (!done) return done;
  publish_state(state_file_, flow_service_);
  const int predecessor = flow_service_.predecessor_fd();
  if (predecessor >= 0 && !pool_.watch_input(predecessor, kHandoverToken)) {
    return fail_errno("cannot watch the old master's channel", errno);
  }
  messages_.emplace(
      *registry_, flow_service_.flows(), pool_,
      [this](ipc::MasterAction action, Commands::Asker asker) { carry_out(action, asker); });
  control_socket_.open(*config_, std::move(options_.control), forks_.user());
  forks_.share(*state_, flow_service_.flows().reader_fd(), control_socket_.fd());
  return {};
}

// The workers of a master that was killed a moment ago may not have closed their listeners yet.
Result<void> Master::first_stage() {
  const std::uint64_t give_up_ms = monotonic_ms() + kAddressWaitMs;
  for (bool told = false;; told = true) {
    auto done = stage(config_);
    if (done || done.error().sys_errno != EADDRINUSE || monotonic_ms() >= give_up_ms) return done;
    if (!told) {
      LogLine(LogLevel::kWarn, "waiting for an address").field("error", done.error().text);
    }
    ::poll(nullptr, 0, kAddressPollMs);
  }
}

int Master::timeout_ms(std::uint64_t now_ms) const {
  if (can_fork() || may_reload() || signals_.has(SIGCHLD)) return 0;
  std::uint64_t next = next_beat_ms_;
  const auto consider = [&next](std::uint64_t at) {
    if (at != 0 && at < next) next = at;
  };
  consider(next_watchdog_ms_);
  if (upgrade_.running()) consider(upgrade_until_ms_);
  consider(registry_->origins().next_timer_ms());
  consider(flow_service_.next_timer_ms());
  for (const auto& generation : generations_.all()) {
    consider(generation->next_timer_ms());
  }
  return next <= now_ms ? 0 : static_cast<int>(next - now_ms);
}

void Master::wait(int timeout_ms) {
  std::array<epoll_event, kEventsAtOnce> events;
  const int count = ::epoll_wait(pool_.events(), events.data(), kEventsAtOnce, timeout_ms);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == kSignalToken) {
      signals_.read();
    } else if (event.data.u64 == kUpgradeToken) {
      on_upgrade_news();
    } else if (event.data.u64 == kHandoverToken) {
      flow_service_.adopt();
      publish_state(state_file_, flow_service_);
    } else {
      pool_.on_channel(static_cast<std::uint32_t>(event.data.u64), event.events);
    }
  }
}

// Stopping first: a worker that ended because of the same signal is then no death to make good.
void Master::act_on_signals() {
  const bool terminate = signals_.take(SIGTERM);
  const bool interrupt = signals_.take(SIGINT);
  if (terminate || interrupt) begin_stop(Stop::kQuick);
  if (signals_.take(SIGQUIT)) begin_stop(Stop::kGraceful);
  if (signals_.take(SIGCHLD) && pool_.reap()) signals_.put(SIGCHLD);
  if (signals_.take(SIGUSR1)) reopen_logs(*config_, pool_);
  if (signals_.take(SIGUSR2)) start_upgrade();
  if (signals_.take(SIGHUP)) reload_wanted_ = true;
  signals_.take(SIGPIPE);
  if (may_reload()) reload();
}

// One at a time: what is asked for during a reload is done after it.
bool Master::may_reload() const {
  return reload_wanted_ && stop_ == Stop::kNo &&
         std::none_of(generations_.all().begin(), generations_.all().end(),
                      [](const auto& generation) { return generation->phase == Phase::kStarting; });
}

void Master::run_timers(std::uint64_t now_ms) {
  if (now_ms >= next_beat_ms_) beat(now_ms);
  if (next_watchdog_ms_ != 0 && now_ms >= next_watchdog_ms_) {
    notifier_.watchdog();
    next_watchdog_ms_ = now_ms + notifier_.watchdog_interval_ms();
  }
  if (registry_->origins().next_timer_ms() != 0 && now_ms >= registry_->origins().next_timer_ms()) {
    registry_->tick(now_ms);
  }
  flow_service_.run_timers(now_ms);
  if (upgrade_.running() && now_ms >= upgrade_until_ms_) upgrade_.give_up();
  quit_last_workers();
  fork_next();
  generation_timers(now_ms);
}

void Master::beat(std::uint64_t now_ms) {
  next_beat_ms_ = now_ms + ipc::kBeatMs;
  state_->header().heartbeat_ms.store(now_ms, std::memory_order_relaxed);
  registry_->tick(now_ms);
  flow_service_.flows().tick(now_ms);
  publish_state(state_file_, flow_service_);
  if (config_->worker_hang_timeout != 0) {
    pool_.end_hung(*state_, config_->worker_hang_timeout / ipc::kBeatMs);
  }
  pool_.watch_again();
  if (upgrade_.running()) on_upgrade_news();
  if (!registry_->has_predecessor()) forks_.share_old_state({});
  report_status();
  if (next_watchdog_ms_ == 0 && notifier_.watchdog_interval_ms() != 0) next_watchdog_ms_ = now_ms;
}

// An old program that finishes its sessions since an upgrade stops like the new one, which tells
// it.
void Master::begin_stop(Stop how) {
  const bool again = upgraded_ && stop_by_ms_ == 0;
  if ((stop_ == how && !again) || stop_ == Stop::kQuick) return;
  const bool graceful = how == Stop::kGraceful;
  predecessor_.signal(graceful ? SIGQUIT : SIGTERM);
  LogLine(LogLevel::kNotice, graceful ? "stopping, sessions may finish" : "stopping now")
      .field("sessions", registry_->sessions())
      .field("deadline_ms", graceful ? config_->grace_quit_timeout : 0);
  notifier_.stopping(config_->force_quit_timeout + kStopSlackMs);
  state_->header().leaving.store(ipc::Leaving::kStopping, std::memory_order_relaxed);
  stop_ = how;
  const std::uint64_t now = monotonic_ms();
  const std::uint64_t deadline = now + config_->grace_quit_timeout;
  stop_by_ms_ = graceful ? deadline : now;
  if (!graceful) flow_service_.flows().freeze();
  for (const auto& generation : generations_.all()) {
    generation->kill_at_ms = now + config_->force_quit_timeout;
    generation->release_sockets();
    if (graceful && generation->phase != Phase::kStarting) {
      if (generation->phase == Phase::kCurrent || generation->quit_at_ms == 0 ||
          generation->quit_at_ms > deadline) {
        drain(*generation, deadline);
      }
    } else {
      quit(*generation);
    }
  }
}

// One line of `systemctl status`.
void Master::report_status() {
  const std::string sessions =
      std::to_string(registry_->sessions() + flow_service_.flows().sessions());
  if (stop_ != Stop::kNo) {
    const std::uint64_t now = monotonic_ms();
    const std::uint64_t left_ms = stop_by_ms_ > now ? stop_by_ms_ - now : 0;
    notifier_.status("stopping: " + sessions + " sessions left, " + std::to_string(left_ms / 1000) +
                     " s until they are ended");
    return;
  }
  if (generations_.current() == nullptr) return;
  const Origins& origins = registry_->origins();
  const auto up = std::count_if(
      origins.used().begin(), origins.used().end(),
      [&](std::uint32_t slot) { return ipc::state_text(origins.at(slot).record) == "up"; });
  std::string text = "serving: " + sessions + " sessions, " + std::to_string(up) + " of " +
                     std::to_string(origins.used().size()) + " origins up";
  if (upgrade_.running()) text += "; an upgrade is under way";
  if (!reload_trouble_.empty()) text += "; the last reload was refused: " + reload_trouble_;
  notifier_.status(text);
}

void Master::carry_out(ipc::MasterAction action, Commands::Asker asker) {
  std::atomic<ipc::Leaving>& leaving = state_->header().leaving;
  const bool ends = action == ipc::MasterAction::kQuit || action == ipc::MasterAction::kStop;
  if (stop_ != Stop::kNo && !ends && action != ipc::MasterAction::kReopen) {
    return commands_.answer(asker, false,
                            upgraded_ ? "another program has taken over" : "Weir is stopping");
  }
  switch (action) {
    case ipc::MasterAction::kReload:
      commands_.wait_for_reload(asker);
      reload_wanted_ = true;
      return;
    case ipc::MasterAction::kUpgrade:
      commands_.wait_for_upgrade(asker);
      return start_upgrade();
    case ipc::MasterAction::kDrain:
    case ipc::MasterAction::kUndrain:
      leaving.store(
          action == ipc::MasterAction::kDrain ? ipc::Leaving::kDrained : ipc::Leaving::kNo,
          std::memory_order_relaxed);
      LogLine(LogLevel::kNotice, action == ipc::MasterAction::kDrain
                                     ? "/readyz says no from now on, as ordered; clients are served"
                                     : "/readyz says again what is");
      break;
    case ipc::MasterAction::kReopen:
      reopen_logs(*config_, pool_);
      break;
    case ipc::MasterAction::kQuit:
      signals_.put(SIGQUIT);
      break;
    case ipc::MasterAction::kStop:
      signals_.put(SIGTERM);
      break;
  }
  commands_.answer(asker, true, "");
}

void Master::start_upgrade() {
  if (stop_ != Stop::kNo || upgrade_.running()) return;
  const auto refuse = [this](const std::string& why) {
    LogLine(LogLevel::kError, "no upgrade").field("error", why);
    commands_.upgrade_ended(false, why);
  };
  Generation* current = generations_.current();
  if (current == nullptr || options_.argv == nullptr) return refuse("Weir is not up yet");
  const std::string pid_path = options_.pid_file.path();
  if (auto renamed = options_.pid_file.rename(pid_path + std::string(kOldSuffix)); !renamed) {
    return refuse(renamed.error().text);
  }
  const Upgrade::Legacy legacy{flow_service_.lock_fd(), state_->state_fd(), control_socket_.fd()};
  if (auto started = upgrade_.start(options_.argv, current->sockets, legacy); !started) {
    static_cast<void>(options_.pid_file.rename(pid_path));
    return refuse(started.error().text);
  }
  upgrade_until_ms_ = monotonic_ms() + config_->worker_ready_timeout + kUpgradeSlackMs;
  // Should that fail, each beat asks.
  static_cast<void>(pool_.watch_input(upgrade_.fd(), kUpgradeToken));
  LogLine(LogLevel::kNotice, "upgrade: the new program starts").field("pid", upgrade_.successor());
}

void Master::on_upgrade_news() {
  switch (upgrade_.read_news()) {
    case Upgrade::News::kNone:
      return;
    case Upgrade::News::kFailed: {
      const std::string why = upgrade_.last_words().empty()
                                  ? "it ended, or was ended, before it was up; its log says more"
                                  : upgrade_.last_words();
      LogLine(LogLevel::kError, "upgrade failed, going on with this program").field("reason", why);
      commands_.upgrade_ended(false, why);
      std::string path = options_.pid_file.path();
      if (path.size() > kOldSuffix.size()) path.resize(path.size() - kOldSuffix.size());
      static_cast<void>(options_.pid_file.rename(path));
      return;
    }
    case Upgrade::News::kNewOneIsUp:
      break;
  }
  LogLine(LogLevel::kNotice, "upgrade: the new program is up, this one finishes its sessions")
      .field("pid", upgrade_.successor())
      .field("sessions", registry_->sessions());
  commands_.upgrade_ended(true, "pid " + std::to_string(upgrade_.successor()));
  notifier_.retire();
  control_socket_.hand_over();
  forks_.share(*state_, flow_service_.flows().reader_fd(), control_socket_.fd());
  next_watchdog_ms_ = 0;
  stop_ = Stop::kGraceful;
  upgraded_ = true;
  const std::uint64_t limit = config_->worker_shutdown_timeout;
  const std::uint64_t deadline = limit == 0 ? 0 : monotonic_ms() + limit;
  for (const auto& generation : generations_.all()) {
    if (generation->phase == Phase::kStarting) {
      quit(*generation);
    } else if (generation->phase == Phase::kCurrent) {
      drain(*generation, deadline);
    }
    generation->release_sockets();
  }
  flow_service_.begin_handover(upgrade_.take_handover());
}

}  // namespace weir
