// WorkerKindRow: all that the master knows of a kind of worker. Serving a new protocol is one more
// row in the table of main.cc, plus its entry function in ipc/worker_entry.h.
#pragma once

#include <vector>

#include "common/base/endpoint.h"
#include "common/config/config.h"
#include "ipc/worker_entry.h"

namespace weir {

struct WorkerKindRow {
  ipc::WorkerKind kind;
  unsigned (*slots)(const Config& config, unsigned cpu_cores);  // 0: not served
  std::vector<Endpoint> (*listens)(const Config& config);       // TCP
  int (*entry)(ipc::WorkerContext&& context, const Config& config);
  std::vector<Endpoint> (*udp_listens)(const Config& config) = nullptr;  // null: none
};

}  // namespace weir
