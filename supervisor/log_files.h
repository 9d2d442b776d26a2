// The error and the access log of all processes: opened by the master, whose children inherit them.
#pragma once

#include "common/base/result.h"
#include "common/config/config.h"
#include "supervisor/worker_pool.h"

namespace weir {

// Opens both. On an error those of `running`, if any, are in use again.
Result<void> open_logs(const Config& config, const Config* running);
// Opens the files anew after somebody has moved them away, and passes them to the workers.
void reopen_logs(const Config& config, WorkerPool& workers);

}  // namespace weir
