// The system calls that no worker has any business with (DESIGN section 7): running programs,
// looking into other processes, mounting, loading code into the kernel. A worker that was taken
// over gets EPERM for them. A list of what is refused, not of what is allowed: the libraries below
// us may use other calls tomorrow. Kernels from 5.11 know the verdict of each call beforehand, so
// that it costs nothing there.
// Owner: a worker's process, once, after no_new_privs. Source: seccomp(2).
#pragma once

#include "common/base/result.h"

namespace weir {

// For the rest of this process's life. An error when the kernel has no filters.
Result<void> refuse_foreign_syscalls();

}  // namespace weir
