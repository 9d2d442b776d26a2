#include "ipc/counters.h"

#include <array>

#include "ipc/route_reader.h"

namespace weir::ipc {
namespace {

constexpr std::array<MetricInfo, kCounterCount> kMetrics = {{
#define METRIC(id, kind, name, labels, doc) {#id, MetricKind::kind, name, labels, doc},
#include "ipc/metrics.def"
#undef METRIC
}};

}  // namespace

std::span<const MetricInfo> metric_table() {
  return kMetrics;
}

std::uint64_t CountersView::get(std::uint32_t page, Counter id) const {
  if (page >= area_.count) return 0;
  return area_.cells[page * kCountersPerPage + static_cast<std::size_t>(id)].load(
      std::memory_order_relaxed);
}

std::uint64_t CountersView::total(const StateView& state, Counter id) const {
  const StateHeader& header = state.header();
  const bool gauge = kMetrics[static_cast<std::size_t>(id)].kind == MetricKind::kGauge;
  std::uint64_t sum = 0;
  // The master moves the counts of an ended process in microseconds; a few tries always suffice.
  for (int i = 0; i < kReadTries; ++i) {
    const std::uint32_t before = header.retire_version.load(std::memory_order_acquire);
    sum = gauge ? 0 : header.retired[static_cast<std::size_t>(id)].load(std::memory_order_relaxed);
    for (std::uint32_t page = 0; page < header.worker_capacity; ++page) {
      WorkerRecord worker;
      if (state.read_worker(page, worker)) sum += get(page, id);
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    if ((before & 1U) == 0 && header.retire_version.load(std::memory_order_relaxed) == before) {
      break;
    }
  }
  return sum;
}

}  // namespace weir::ipc
