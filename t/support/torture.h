// Readers of shared memory that are killed while a writer changes it. For flow_torture and
// ipc_torture. Owner: the test tool; readers are child processes, all killed before it returns.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>

#include "common/base/clock.h"
#include "common/route/balance.h"

namespace weir::torture {

inline constexpr int kTorn = 3;

// A child that maps `fd` and looks until it is killed, or until look(view, random) says that
// something was torn.
template <class View>
pid_t start_reader(int fd, bool (*look)(const View&, std::uint64_t)) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  auto view = View::map(fd);
  if (!view) ::_exit(1);
  for (std::uint64_t random = static_cast<std::uint64_t>(::getpid());;) {
    random = route::mix(random);
    if (!look(*view, random)) ::_exit(kTorn);
  }
}

// True when the reader was still reading whole records.
inline bool kill_reader(pid_t pid) {
  int status = 0;
  ::kill(pid, SIGKILL);
  ::waitpid(pid, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

// Calls step() for that many milliseconds while readers come and go, and check() now and then.
// Prints what was done; the exit status.
template <class View, class Step, class Check>
int torture_readers(int fd, std::uint64_t ms, bool (*look)(const View&, std::uint64_t), Step step,
                    Check check) {
  std::array<pid_t, 4> readers{};
  for (pid_t& reader : readers) reader = start_reader(fd, look);
  bool fine = true;
  unsigned long long steps = 0;
  unsigned long long killed = 0;
  const std::uint64_t end = monotonic_ms() + ms;
  while (monotonic_ms() < end) {
    for (int i = 0; i < 20000; ++i, ++steps) step();
    pid_t& victim = readers[killed++ % readers.size()];
    fine = kill_reader(victim) && fine;
    victim = start_reader(fd, look);
    fine = check() && fine;
  }
  for (const pid_t reader : readers) fine = kill_reader(reader) && fine;
  std::printf("%llu writes, %llu readers killed, %s\n", steps, killed,
              fine ? "all whole" : "FAILED");
  return fine ? 0 : 1;
}

}  // namespace weir::torture
