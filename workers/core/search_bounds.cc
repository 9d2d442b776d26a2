#include "workers/core/search_bounds.h"

#include <algorithm>
#include <utility>

#include "common/base/network.h"
#include "common/net/crypto.h"

namespace weir {
namespace {

using ipc::Counter;

constexpr std::size_t kOriginsKept = 4096;  // of all that there ever were

constexpr std::pair<std::string_view, Counter> kLimits[] = {
    {kSearchRate, Counter::kSearchRefusedRate},
    {kSearchRatePerAddress, Counter::kSearchRefusedAddress},
    {kSearchMaxWaiting, Counter::kSearchRefusedWaiting}};

}  // namespace

void SearchBounds::share(const ipc::StateView& state, ipc::WorkerKind kind) {
  std::size_t workers = 0;
  ipc::WorkerRecord worker;
  for (std::uint32_t slot = 0; slot < state.header().worker_capacity; ++slot) {
    const bool counts = state.read_worker(slot, worker) && worker.kind == kind &&
                        worker.state != ipc::WorkerState::kDraining;
    if (counts) ++workers;
  }
  share_among(workers);
}

void SearchBounds::share_among(std::size_t workers) {
  workers = std::max<std::size_t>(1, workers);
  if (workers == workers_) return;
  workers_ = workers;
  origins_.clear();
  const auto per_address = static_cast<std::uint64_t>(config_.search.rate_per_address);
  const std::uint64_t each =
      per_address == 0 ? 0 : std::max<std::uint64_t>(1, per_address / workers);
  addresses_ = RateLimiter(each, per_address, net::random_hash_seed().k0);
}

// A share of less than one request a second is one in a longer time.
bool SearchBounds::take(ipc::OriginRef origin, std::uint64_t now_ms) {
  if (origins_.size() > kOriginsKept) origins_.clear();
  const auto rate = static_cast<std::uint64_t>(config_.search.rate);
  const std::uint64_t mine = std::max<std::uint64_t>(1, rate / workers_);
  const std::uint64_t window_ms = rate < workers_ ? 1000 * workers_ / rate : 1000;
  const std::uint64_t key = std::uint64_t{origin.slot} << 32U | origin.generation;
  return origins_.try_emplace(key, mine, window_ms).first->second.take(now_ms);
}

bool SearchBounds::take(const Endpoint& client, std::uint64_t now_ms) {
  return addresses_.take(address_group(client), now_ms) == 0;
}

void SearchBounds::note_refused(ipc::Counters& counters, const Refused& what,
                                std::uint64_t now_ms) {
  for (const auto& [name, counter] : kLimits) {
    if (name == what.limit) counters.add(counter);
  }
  std::uint64_t suppressed = 0;
  if (!refusals_.take(now_ms, suppressed)) return;
  LogLine(LogLevel::kWarn, "player of an unknown stream refused")
      .session(what.session)
      .field("client", what.client)
      .field("stream", what.stream)
      .field("limit", what.limit)
      .field("suppressed", suppressed);
}

}  // namespace weir
