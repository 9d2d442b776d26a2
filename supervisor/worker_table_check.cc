#include "supervisor/worker_table_check.h"

#include <string>

namespace weir {

std::size_t workers_of(const Config& config, std::span<const WorkerKindRow> kinds, unsigned cores) {
  std::size_t workers = 0;
  for (const WorkerKindRow& row : kinds) workers += row.slots(config, cores);
  return workers;
}

void check_worker_table(LoadOutcome& loaded, std::span<const WorkerKindRow> kinds, unsigned cores,
                        std::int64_t places) {
  if (!loaded.ok()) return;
  const Config& config = loaded.config;
  const auto workers = static_cast<std::int64_t>(workers_of(config, kinds, cores));
  const std::string numbers = "max_workers " + std::to_string(places) + ": a generation has " +
                              std::to_string(workers) + " workers";
  if (places < 2 * workers) {
    loaded.faults.push_back({"", 0, 0, numbers + ", and a reload needs room for two generations"});
    return;
  }
  const bool set = config.sources.contains("worker_generations_max");
  if (set && config.worker_generations_max > places / workers) {
    loaded.warnings.push_back("worker_generations_max " +
                              std::to_string(config.worker_generations_max) +
                              " is out of reach with " + numbers + ", so at most " +
                              std::to_string(places / workers) + " generations live at once");
  }
}

}  // namespace weir
