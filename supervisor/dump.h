// `weir -s dump`: workers, origins and streams of a running Weir, read from its shared memory while
// it works. Takes no lock and sends nothing, so it also shows a master that hangs.
#pragma once

#include <sys/types.h>

#include <string>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace weir {

// The state segment of the process, found by its name among the process's descriptors; read-only.
Result<UniqueFd> open_state_of(pid_t master);
Result<std::string> dump_state(int state_fd);

}  // namespace weir
