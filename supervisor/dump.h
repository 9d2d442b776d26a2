// `weir -s dump`: workers, origins, streams and sessions of a running Weir, read from its shared
// memory while it works. Takes no lock and sends nothing, so it also shows a master that hangs.
#pragma once

#include <sys/types.h>

#include <string>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace weir {

// The state segment of the process, found by its name among the process's descriptors; read-only.
Result<UniqueFd> open_state_of(pid_t master);
// The same of its session table, which may be a file: then it is found by how it begins.
Result<UniqueFd> open_flows_of(pid_t master);
Result<std::string> dump_state(int state_fd);
Result<std::string> dump_flows(int flows_fd);

}  // namespace weir
