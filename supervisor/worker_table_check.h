// Whether the table of workers has room for what a configuration asks for: at least two generations
// (the running one and the next), and as many more as worker_generations_max lets live.
#pragma once

#include <cstdint>
#include <span>

#include "common/config/config.h"
#include "supervisor/worker_kinds.h"

namespace weir {

// Workers of one generation.
std::size_t workers_of(const Config& config, std::span<const WorkerKindRow> kinds, unsigned cores);

// Adds to the faults, and warns of a worker_generations_max that was set and is out of reach.
// `places`: max_workers, of the master that runs if there is one. Does nothing when there are
// faults already.
void check_worker_table(LoadOutcome& loaded, std::span<const WorkerKindRow> kinds, unsigned cores,
                        std::int64_t places);

}  // namespace weir
