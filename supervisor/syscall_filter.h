// What a worker may ask of the kernel (DESIGN section 7). A worker that was taken over gets EPERM
// for
//   - programs, other processes and their memory, mounts, modules, keys, clocks, io_uring;
//   - signals to anybody but itself, by any call that sends or arranges for one;
//   - limits, priorities and cores of other processes;
//   - processes of its own: it may have threads;
//   - Unix sockets, but for syslog: those of systemd, the control socket, other services.
// A list of what is refused, not of what is allowed: the libraries below us may use other calls
// tomorrow. Kernels from 5.11 know the verdict of each call that is judged by its number alone
// beforehand, so that it costs nothing there.
// Owner: a worker's process, once, after no_new_privs and before it has threads. Source:
// seccomp(2).
#pragma once

#include "common/base/result.h"

namespace weir {

// For the rest of this process's life. An error when the kernel has no filters.
Result<void> refuse_foreign_syscalls(bool to_syslog);

}  // namespace weir
