#include "supervisor/master.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "common/base/access_log.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "common/net/tls_server.h"
#include "ipc/counters.h"
#include "supervisor/flow_store.h"
#include "supervisor/state_store.h"

namespace weir {
namespace {

constexpr std::uint64_t kAddressWaitMs = 2000;
constexpr int kAddressPollMs = 50;
constexpr std::uint64_t kSignalToken = ~0ULL;
constexpr std::uint64_t kUpgradeToken = ~0ULL - 1;
constexpr int kEventsAtOnce = 256;

std::uint64_t random_word() {
  std::uint64_t word = 0;
  if (::getrandom(&word, sizeof word, 0) != sizeof word) word = monotonic_us();
  return word;
}

LogSettings log_settings(const Config& config) {
  LogSettings settings;
  if (config.log.target == "file") settings.target = LogTarget::kFile;
  if (config.log.target == "syslog") settings.target = LogTarget::kSyslog;
  if (config.log.format == "json") settings.format = LogFormat::kJson;
  settings.level = parse_log_level(config.log.level).value_or(LogLevel::kInfo);
  settings.file = config.log.file;
  return settings;
}

AccessLogSettings access_log_settings(const Config& config) {
  AccessLogSettings settings;
  if (config.access_log.target == "stderr") settings.target = AccessTarget::kStderr;
  if (config.access_log.target == "file") settings.target = AccessTarget::kFile;
  if (config.access_log.target == "syslog") settings.target = AccessTarget::kSyslog;
  if (config.access_log.format == "json") settings.format = LogFormat::kJson;
  settings.file = config.access_log.file;
  settings.keep_query = config.access_log.query == "keep";
  return settings;
}

// Origins that registered with the old master, and where its streams are.
void adopt_routes(Registry& registry, UniqueFd old_state) {
  if (!old_state) return;
  auto view = ipc::StateView::map(old_state.get());
  if (!view) {
    LogLine(LogLevel::kWarn,
            "routes of the old program are lost, origins come back with their next heartbeat")
        .field("error", view.error().text);
    return;
  }
  registry.adopt(std::move(*view));
}

}  // namespace

Result<void> open_logs(const Config& config, const Config* running) {
  auto opened = log_open(log_settings(config));
  if (opened) opened = access_log_open(access_log_settings(config));
  if (!opened && running != nullptr) {
    static_cast<void>(log_open(log_settings(*running)));
    static_cast<void>(access_log_open(access_log_settings(*running)));
  }
  return opened;
}

Master::Master(MasterOptions options, Config config)
    : options_(std::move(options)),
      config_(std::make_shared<const Config>(std::move(config))),
      pool_({[this](WorkerProcess& from, std::uint32_t page, ByteView message) {
               if (messages_->dispatch(from, page, message)) on_ready(from, page);
             },
             [this](std::uint32_t page, const WorkerProcess& process, int status) {
               on_end(page, process, status);
             }}),
      forks_(pool_) {}

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
  adopt_routes(*registry_, std::move(options_.old_state));
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
  messages_.emplace(*registry_, flow_service_.flows(), pool_);
  forks_.share(*state_, flow_service_.flows().reader_fd());
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
  if (signals_.take(SIGUSR1)) reopen_log();
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
  if (next_watchdog_ms_ == 0 && notifier_.watchdog_interval_ms() != 0) next_watchdog_ms_ = now_ms;
}

void Master::begin_stop(Stop how) {
  if (stop_ == how || stop_ == Stop::kQuick) return;
  const bool graceful = how == Stop::kGraceful;
  LogLine(LogLevel::kNotice, graceful ? "stopping, sessions may finish" : "stopping now")
      .field("sessions", registry_->sessions())
      .field("deadline_ms", graceful ? config_->grace_quit_timeout : 0);
  // Once, and not after an upgrade: the service then goes on without this process.
  if (stop_ == Stop::kNo) notifier_.stopping();
  stop_ = how;
  const std::uint64_t now = monotonic_ms();
  const std::uint64_t deadline = now + config_->grace_quit_timeout;
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

void Master::reopen_log() {
  if (auto opened = log_open(log_settings(*config_)); !opened) {
    LogLine(LogLevel::kError, "cannot reopen the log").field("error", opened.error().text);
  } else if (config_->log.target == "file") {
    pass_log(ipc::LogKind::kError, log_fd());
  }
  if (auto opened = access_log_open(access_log_settings(*config_)); !opened) {
    LogLine(LogLevel::kError, "cannot reopen the access log").field("error", opened.error().text);
  } else if (config_->access_log.target == "file") {
    pass_log(ipc::LogKind::kAccess, access_log_fd());
  }
}

void Master::pass_log(ipc::LogKind kind, int fd) {
  const bool access = kind == ipc::LogKind::kAccess;
  for (auto& [page, process] : pool_.all()) {
    ipc::ReopenLog message;
    message.log = kind;
    if (!pool_.send(process, page, message, fd)) {
      LogLine(LogLevel::kError, "worker goes on with the old log file")
          .field("pid", process.pid)
          .field("log", access ? "access" : "error");
    }
  }
  LogLine(LogLevel::kNotice, access ? "access log reopened" : "log reopened");
}

void Master::start_upgrade() {
  if (stop_ != Stop::kNo || upgrade_.running()) return;
  Generation* current = generations_.current();
  if (current == nullptr || options_.argv == nullptr) return;
  const std::string pid_path = options_.pid_file.path();
  if (auto renamed = options_.pid_file.rename(pid_path + ".oldbin"); !renamed) {
    LogLine(LogLevel::kError, "no upgrade").field("error", renamed.error().text);
    return;
  }
  const Upgrade::Legacy legacy{flow_service_.lock_fd(), state_->state_fd()};
  if (auto started = upgrade_.start(options_.argv, current->sockets, legacy); !started) {
    LogLine(LogLevel::kError, "no upgrade").field("error", started.error().text);
    static_cast<void>(options_.pid_file.rename(pid_path));
    return;
  }
  // Should that fail, each beat asks.
  static_cast<void>(pool_.watch_input(upgrade_.fd(), kUpgradeToken));
  LogLine(LogLevel::kNotice, "upgrade: the new program starts").field("pid", upgrade_.child());
}

void Master::on_upgrade_news() {
  switch (upgrade_.read_news()) {
    case Upgrade::News::kNone:
      return;
    case Upgrade::News::kFailed: {
      LogLine(LogLevel::kError, "upgrade failed, the new program ended; going on with this one");
      std::string path = options_.pid_file.path();
      const std::string_view suffix = ".oldbin";
      if (path.size() > suffix.size()) path.resize(path.size() - suffix.size());
      static_cast<void>(options_.pid_file.rename(path));
      return;
    }
    case Upgrade::News::kNewOneIsUp:
      break;
  }
  LogLine(LogLevel::kNotice, "upgrade: the new program is up, this one finishes its sessions")
      .field("sessions", registry_->sessions());
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
