#include "supervisor/syscall_filter.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace {

// The bits of what went wrong in a process with the filter.
int child() {
  int wrong = 0;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 1;
  if (!weir::refuse_foreign_syscalls()) return 2;
  char name[] = "/bin/true";
  char* const arguments[] = {name, nullptr};
  ::execv(name, arguments);
  if (errno != EPERM) wrong |= 4;
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != -1 || errno != EPERM) wrong |= 8;
  const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (file < 0) wrong |= 16;
  ::close(file);
  bool ran = false;
  std::thread([&ran] { ran = true; }).join();
  if (!ran) wrong |= 32;
  return wrong;
}

}  // namespace

TEST_CASE("a filtered process runs no program and goes on with its own work") {
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) ::_exit(child());
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
