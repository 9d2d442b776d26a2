#include "supervisor/syscall_filter.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>

#include "common/config/config.h"
#include "supervisor/worker_process.h"

namespace {

// How many of its expectations a process with the filter saw fail; each is named on stderr.
class Expectations {
 public:
  void refused(const char* what, long result) { check(what, result == -1 && errno == EPERM); }
  void works(const char* what, bool yes) { check(what, yes); }
  int failed() const { return failed_; }

 private:
  void check(const char* what, bool yes) {
    if (yes) return;
    std::fprintf(stderr, "not as expected: %s (errno %d)\n", what, errno);
    ++failed_;
  }
  int failed_ = 0;
};

// Calls that reach into process `other`, the caller's parent of the same user.
void try_signals(Expectations& expect, pid_t other) {
  siginfo_t info{};
  info.si_code = SI_QUEUE;
  const pid_t self = ::getpid();
  expect.refused("kill another", ::kill(other, 0));
  expect.refused("kill the group", ::kill(0, 0));
  expect.refused("kill everybody", ::kill(-1, 0));
  expect.refused("kill a group", ::kill(-other, 0));
  expect.refused("kill with a high half", ::syscall(SYS_kill, 0x100000000L + other, 0));
  expect.refused("tgkill", ::syscall(SYS_tgkill, other, other, 0));
  expect.refused("tkill", ::syscall(SYS_tkill, other, 0));
  expect.refused("rt_sigqueueinfo", ::syscall(SYS_rt_sigqueueinfo, other, SIGTERM, &info));
  expect.refused("rt_tgsigqueueinfo",
                 ::syscall(SYS_rt_tgsigqueueinfo, other, other, SIGTERM, &info));
  expect.refused("pidfd_open", ::syscall(SYS_pidfd_open, other, 0));
  expect.refused("pidfd_send_signal", ::syscall(SYS_pidfd_send_signal, 0, 0, nullptr, 0));
  expect.works("kill itself", ::kill(self, 0) == 0);
  expect.works("tgkill itself", ::syscall(SYS_tgkill, self, self, 0) == 0);
  std::signal(SIGUSR1, SIG_IGN);
  expect.works("raise", ::raise(SIGUSR1) == 0);
}

void try_processes(Expectations& expect, pid_t other) {
  char name[] = "/bin/true";
  char* const arguments[] = {name, nullptr};
  expect.refused("execve", ::execv(name, arguments));
  expect.refused("ptrace", ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr));
  expect.refused("a Unix socket", ::socket(AF_UNIX, SOCK_DGRAM, 0));
  const int inet = ::socket(AF_INET, SOCK_STREAM, 0);
  expect.works("an Internet socket", inet >= 0 && ::close(inet) == 0);
  expect.refused("process_vm_writev",
                 ::syscall(SYS_process_vm_writev, other, nullptr, 0, nullptr, 0, 0));
  expect.refused("fork", ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  expect.refused("fork of the library", ::fork());
  clone_args clone3{};
  expect.works("clone3 is not there",
               ::syscall(SYS_clone3, &clone3, sizeof clone3) == -1 && errno == ENOSYS);
  rlimit limit{};
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(0, &cores);
  expect.refused("prlimit", ::prlimit(other, RLIMIT_NOFILE, nullptr, &limit));
  expect.refused("sched_setaffinity", ::sched_setaffinity(other, sizeof cores, &cores));
  expect.refused("setpriority", ::setpriority(PRIO_PROCESS, static_cast<id_t>(other), 19));
  expect.works("getrlimit", ::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  expect.works("setrlimit", ::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  expect.works("its own cores", ::sched_getaffinity(0, sizeof cores, &cores) == 0 &&
                                    ::sched_setaffinity(0, sizeof cores, &cores) == 0);
}

void try_files(Expectations& expect, pid_t other) {
  const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  expect.works("open", file >= 0);
  expect.works("fcntl", ::fcntl(file, F_SETFL, O_NONBLOCK) == 0);
  expect.refused("F_SETOWN", ::fcntl(file, F_SETOWN, other));
  expect.refused("F_SETSIG", ::fcntl(file, F_SETSIG, SIGKILL));
  int owner = other;
  char letter = 'x';
  expect.refused("FIOSETOWN", ::ioctl(file, FIOSETOWN, &owner));
  expect.refused("TIOCSTI", ::ioctl(file, TIOCSTI, &letter));
  int ends[2];
  int ready = 0;
  expect.works("FIONREAD", ::pipe(ends) == 0 && ::ioctl(ends[0], FIONREAD, &ready) == 0);
  expect.refused("io_uring", ::syscall(SYS_io_uring_setup, 1, nullptr));
  expect.refused("bpf", ::syscall(SYS_bpf, 0, nullptr, 0));
  expect.refused("userfaultfd", ::syscall(SYS_userfaultfd, 0));
  ::close(file);
}

int try_all() {
  Expectations expect;
  const pid_t other = ::getppid();
  try_signals(expect, other);
  try_processes(expect, other);
  try_files(expect, other);
  bool ran = false;
  std::thread([&ran] { ran = true; }).join();
  expect.works("a thread", ran);
  return expect.failed();
}

int status_of(const std::function<int()>& child) {
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) ::_exit(child());
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return status;
}

// A worker as the master makes it, with this body.
template <int (*Body)()>
int worker() {
  static const weir::WorkerKindRow row{
      weir::ipc::WorkerKind::kControl, nullptr, nullptr,
      [](weir::ipc::WorkerContext&&, const weir::Config&) { return Body(); }};
  static const weir::Config config;
  static const weir::WorkerUser user;
  weir::WorkerStart start;
  start.row = &row;
  start.config = &config;
  start.user = &user;
  weir::run_worker_process(std::move(start));
}

[[noreturn]] int end_by_abort() {
  ::setrlimit(RLIMIT_CORE, std::array<rlimit, 1>{}.data());
  std::signal(SIGABRT, SIG_DFL);  // of the test program
  std::abort();
}

}  // namespace

TEST_CASE("a worker signals nobody else, makes no process, and goes on with its own work") {
  const int status = status_of(worker<try_all>);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a filtered worker can abort") {
  const int status = status_of(worker<end_by_abort>);
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
}
