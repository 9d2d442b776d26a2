// The entry of every kind of worker: maps the shared memory, makes the event loop, runs the worker
// until it has drained.
#pragma once

#include <utility>

#include "common/base/log.h"
#include "common/config/config.h"
#include "ipc/counters.h"
#include "ipc/route_reader.h"
#include "ipc/worker_entry.h"
#include "workers/core/event_ptr.h"

namespace weir {

// Worker: Worker(event_base*, WorkerContext&&, const Config&, StateView&&, Counters&&,
// CountersView&&) and run(); UDP workers take the session table instead of the CountersView, before
// the Counters. Returns the process's exit code.
template <typename Worker, typename... Table>
int run_worker(ipc::WorkerContext&& context, const Config& config, Table&&... table) {
  auto state = ipc::StateView::map(context.state.get());
  if (!state) {
    LogLine(LogLevel::kError, "cannot map the shared memory").field("error", state.error().text);
    return ipc::kExitDoNotRespawn;
  }
  ipc::Counters counters(context.counters);
  ipc::CountersView all_counters(context.all_counters);
  const EventBasePtr base(event_base_new());
  if (!base) {
    LogLine(LogLevel::kError, "cannot make an event loop");
    return 1;
  }
  if constexpr (sizeof...(Table) == 0) {
    Worker worker(base.get(), std::move(context), config, std::move(*state), std::move(counters),
                  std::move(all_counters));
    worker.run();
  } else {
    Worker worker(base.get(), std::move(context), config, std::move(*state),
                  std::forward<Table>(table)..., std::move(counters));
    worker.run();
  }
  return ipc::kExitDrained;
}

}  // namespace weir
