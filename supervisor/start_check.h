// What fails only when the service starts, tried beforehand for `weir -t`: the workers' user, the
// folders of what is written, the addresses to listen on. Leaves nothing behind: no file is made,
// and a socket is bound for a moment only. What a running instance holds itself is no fault.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "supervisor/worker_kinds.h"

namespace weir {

struct StartCheck {
  std::vector<std::string> faults;    // a start would fail, here and now, as this user
  std::vector<std::string> warnings;  // it would go on without that, or another user may do it
};
// `running`: the pid of the master that runs with this configuration; 0: none does.
StartCheck check_start(const Config& config, std::span<const WorkerKindRow> kinds, unsigned cores,
                       pid_t running);

}  // namespace weir
