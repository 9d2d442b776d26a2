// What an HTTP server counts, and under which section of the configuration its limits stand. One
// table a kind of worker; the counters are in ipc/metrics.def.
#pragma once

#include <string_view>

#include "ipc/counters.h"
#include "workers/core/tcp_worker.h"

namespace weir::http {

struct Meters {
  std::string_view section;  // of the options: `http`
  ipc::Counter accepted;
  ipc::Counter connections;
  ipc::Counter requests;
  ipc::Counter bytes_from_clients;
  ipc::Counter bytes_to_clients;
  ipc::Counter refused_total;
  ipc::Counter refused_address;
  ipc::Counter refused_rate;
  ipc::Counter (*end)(EndReason);
};

}  // namespace weir::http
