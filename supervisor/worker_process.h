// What happens between fork and a worker's entry function: the child gives up everything that is
// the master's, takes its limits, drops its privileges, and runs. No exec: the child has the
// validated configuration in its memory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/config.h"
#include "ipc/worker_entry.h"
#include "supervisor/worker_kinds.h"

namespace weir {

// The cores that this process may run on: fewer than the machine has in a container. Never empty.
std::vector<int> allowed_cores();

// Who workers run as. Looked up once by the master, while it may read the user database.
struct WorkerUser {
  bool drop = false;  // false: stay as the master is (it is not root)
  uid_t uid = 0;
  gid_t gid = 0;
  bool own_group = false;  // its group is not one that others have, too
  std::string name;
};
Result<WorkerUser> find_worker_user(const Config& config);

// The writable memory behind argv, for names in the process list.
void remember_arguments(int argc, char** argv);
void set_process_title(const std::string& title);

struct WorkerStart {
  const WorkerKindRow* row = nullptr;
  ipc::WorkerContext context;
  const Config* config = nullptr;
  const WorkerUser* user = nullptr;
};

// In the forked child; never returns. REQUIRES: one thread.
[[noreturn]] void run_worker_process(WorkerStart start);

}  // namespace weir
