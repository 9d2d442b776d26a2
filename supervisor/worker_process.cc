#include "supervisor/worker_process.h"

#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include "common/base/access_log.h"
#include "common/base/log.h"
#include "supervisor/syscall_filter.h"

namespace weir {
namespace {

constexpr const char* kNobody = "nobody";

struct ArgumentArea {
  char* begin = nullptr;
  std::size_t size = 0;
};
ArgumentArea& argument_area() {
  static ArgumentArea area;
  return area;
}

bool logs_to_syslog(const Config& config) {
  return config.log.target == "syslog" || config.access_log.target == "syslog";
}

// Closes every descriptor but those in `keep`.
void close_others(std::vector<int> keep) {
  std::sort(keep.begin(), keep.end());
  unsigned next = 0;
  for (const int fd : keep) {
    if (fd < 0) continue;
    const auto number = static_cast<unsigned>(fd);
    if (number > next) ::close_range(next, number - 1, 0);
    next = std::max(next, number + 1);
  }
  ::close_range(next, ~0U, 0);
}

void close_what_is_the_masters(const ipc::WorkerContext& context, const Config& config) {
  const bool to_syslog = logs_to_syslog(config);
  if (to_syslog) ::closelog();  // its hidden descriptor would be closed under its feet
  std::vector<int> keep = {
      STDIN_FILENO,    STDOUT_FILENO,         STDERR_FILENO,       log_fd(),
      access_log_fd(), context.channel.get(), context.state.get(), context.flows.get()};
  keep.push_back(context.control.get());
  keep.push_back(context.old_state.get());
  for (const UniqueFd& listener : context.listeners) keep.push_back(listener.get());
  for (const UniqueFd& socket : context.udp_sockets) keep.push_back(socket.get());
  close_others(std::move(keep));
  if (to_syslog) ::openlog("weir", LOG_NDELAY | LOG_PID, LOG_DAEMON);
}

void reset_signals() {
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGHUP, SIGPIPE, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2}) {
    action.sa_handler = SIG_IGN;
    ::sigaction(number, &action, nullptr);
  }
  for (const int number : {SIGTERM, SIGCHLD}) {
    action.sa_handler = SIG_DFL;
    ::sigaction(number, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void raise_limits(const Config& config) {
  const auto wanted = static_cast<rlim_t>(config.worker_rlimit_nofile);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < wanted) {
    const rlimit raised{wanted, wanted};  // root only, up to fs.nr_open
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  if (const auto core = core_limit(config)) {
    rlimit wanted_core{*core, *core};
    if (::setrlimit(RLIMIT_CORE, &wanted_core) != 0) {
      ::getrlimit(RLIMIT_CORE, &wanted_core);
      wanted_core.rlim_cur = std::min<rlim_t>(*core, wanted_core.rlim_max);
      ::setrlimit(RLIMIT_CORE, &wanted_core);
    }
  }
}

void bind_to_core(const Config& config, unsigned slot) {
  if (!config.worker_cpu_affinity) return;
  const std::vector<int> cores = allowed_cores();
  if (cores.size() < 2) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cores[slot % cores.size()]), &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) {
    LogLine(LogLevel::kWarn, "cannot bind the worker to its core")
        .field("error", std::strerror(errno));
  }
}

bool drop_privileges(const WorkerUser& user, const Config& config) {
  if (user.drop) {
    if (::setgroups(1, &user.gid) != 0 || ::setresgid(user.gid, user.gid, user.gid) != 0 ||
        ::setresuid(user.uid, user.uid, user.uid) != 0) {
      LogLine(LogLevel::kError, "cannot become the workers' user")
          .field("user", user.name)
          .field("error", std::strerror(errno));
      return false;
    }
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    LogLine(LogLevel::kError, "cannot set no_new_privs").field("error", std::strerror(errno));
    return false;
  }
  if (config.worker_syscall_filter) {
    if (auto done = refuse_foreign_syscalls(logs_to_syslog(config)); !done) {
      LogLine(LogLevel::kInfo, "worker runs without a filter of system calls")
          .field("error", done.error().text);
    }
  }
  // Changing the user switched core dumps off; whoever asks for them gets them.
  if (core_limit(config)) ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  return true;
}

}  // namespace

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(static_cast<std::size_t>(core), &set)) cores.push_back(core);
  }
  return cores;
}

Result<WorkerUser> find_worker_user(const Config& config) {
  WorkerUser found;
  if (::geteuid() != 0) return found;
  const passwd* user = ::getpwnam(config.user.c_str());
  if (user == nullptr && config.user == Config{}.user) user = ::getpwnam(kNobody);
  if (user == nullptr) return fail("user " + config.user + " does not exist");
  found.drop = true;
  found.uid = user->pw_uid;
  found.gid = user->pw_gid;
  found.name = user->pw_name;
  found.own_group = found.name != kNobody;
  if (!config.group.empty()) {
    const group* wanted = ::getgrnam(config.group.c_str());
    if (wanted == nullptr) return fail("group " + config.group + " does not exist");
    found.gid = wanted->gr_gid;
    found.own_group = true;
  }
  return found;
}

void remember_arguments(int argc, char** argv) {
  if (argc < 1) return;
  char* const last = argv[argc - 1];
  // The kernel lays the arguments out one after the other.
  argument_area() = {argv[0], static_cast<std::size_t>(last + std::strlen(last) - argv[0])};
}

void set_process_title(const std::string& title) {
  ::prctl(PR_SET_NAME, title.c_str(), 0, 0, 0);
  const ArgumentArea area = argument_area();
  if (area.begin == nullptr || area.size == 0) return;
  std::memset(area.begin, 0, area.size);
  std::memcpy(area.begin, title.data(), std::min(title.size(), area.size));
}

void run_worker_process(WorkerStart start) {
  ipc::WorkerContext& context = start.context;
  const Config& config = *start.config;
  const std::string name =
      std::string(ipc::to_string(context.kind)) + "." + std::to_string(context.slot);
  log_set_process(name);
  set_process_title("weir: " + name);
  close_what_is_the_masters(context, config);
  reset_signals();
  raise_limits(config);
  bind_to_core(config, context.slot);
  if (!drop_privileges(*start.user, config)) ::_exit(ipc::kExitDoNotRespawn);
  // _exit: the master's objects in this copy of its memory must not be torn down here.
  ::_exit(start.row->entry(std::move(context), config));
}

}  // namespace weir
