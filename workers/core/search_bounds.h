// SearchBounds: how many searches a client address may cause and how many requests of searches an
// origin gets, of one protocol. Owner: who searches. Pure but for the seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "common/base/log_budget.h"
#include "common/base/rate_limiter.h"
#include "common/base/window_rate.h"
#include "common/config/config.h"
#include "ipc/counters.h"
#include "ipc/route_reader.h"

namespace weir {

// The options that may stand against a player.
inline constexpr std::string_view kSearchRate = "search.rate";
inline constexpr std::string_view kSearchRatePerAddress = "search.rate_per_address";
inline constexpr std::string_view kSearchMaxWaiting = "search.max_waiting";

class SearchBounds {
 public:
  explicit SearchBounds(const Config& config) : config_(config), addresses_(0, 0, 0) {}

  // The workers of that kind that take clients share what is allowed. To be called at first, and
  // about once a second.
  void share(const ipc::StateView& state, ipc::WorkerKind kind);
  bool take(ipc::OriginRef origin, std::uint64_t now_ms);
  bool take(const Endpoint& client, std::uint64_t now_ms);
  // Counts and logs that a player was kept out.
  struct Refused {
    SessionId session = 0;
    Endpoint client;
    std::string_view stream;
    std::string_view limit;  // the option
  };
  void note_refused(ipc::Counters& counters, const Refused& what, std::uint64_t now_ms);

 private:
  void share_among(std::size_t workers);

  const Config& config_;
  std::size_t workers_ = 0;
  RateLimiter addresses_;
  std::unordered_map<std::uint64_t, WindowRate> origins_;
  LogBudget refusals_{1, 10000};
};

}  // namespace weir
