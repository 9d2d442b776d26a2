// Counters of one process: a page of shared memory that this process alone can write and everyone
// may read (ipc/counter_pages.h). The ids derive from ipc/metrics.def.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "ipc/counter_pages.h"
#include "ipc/shm_layout.h"

namespace weir::ipc {

enum class Counter : std::uint16_t {
#define METRIC(id, kind, name, labels, doc) k##id,
#include "ipc/metrics.def"
#undef METRIC
  kCount
};
inline constexpr std::size_t kCounterCount = static_cast<std::size_t>(Counter::kCount);
// The last cell of a page is no counter: its process adds one each kBeatMs while its loop turns.
inline constexpr std::size_t kBeatCell = kCountersPerPage - 1;
inline constexpr std::uint64_t kBeatMs = 1000;
static_assert(kCounterCount <= kBeatCell);

enum class MetricKind : std::uint8_t { kCounter, kGauge };
struct MetricInfo {
  std::string_view id;
  MetricKind kind;
  std::string_view name;
  std::string_view labels;
  std::string_view doc;
};
// In the order of Counter.
std::span<const MetricInfo> metric_table();

// The page of this process. One thread writes.
class Counters {
 public:
  // `page`: of CounterPages, lent to this process.
  explicit Counters(CounterCell* page) : cells_(page) {}
  Counters(Counters&& other) noexcept = default;
  Counters& operator=(Counters&&) = delete;

  void add(Counter id, std::uint64_t n = 1) {
    auto& cell = cells_[static_cast<std::size_t>(id)];
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void sub(Counter id, std::uint64_t n = 1) {
    auto& cell = cells_[static_cast<std::size_t>(id)];
    cell.store(cell.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
  }
  std::uint64_t get(Counter id) const {
    return cells_[static_cast<std::size_t>(id)].load(std::memory_order_relaxed);
  }
  void beat() {
    cells_[kBeatCell].store(cells_[kBeatCell].load(std::memory_order_relaxed) + 1,
                            std::memory_order_relaxed);
  }

 private:
  CounterCell* cells_;
};

// All pages, read-only.
class CountersView {
 public:
  explicit CountersView(CounterArea area) : area_(area) {}
  CountersView(CountersView&& other) noexcept = default;
  CountersView& operator=(CountersView&&) = delete;

  std::uint64_t get(std::uint32_t page, Counter id) const;
  // Gauge: sum over the pages of living workers of `state`. Counter: that plus what ended ones
  // left.
  std::uint64_t total(const class StateView& state, Counter id) const;

 private:
  CounterArea area_;
};

}  // namespace weir::ipc
