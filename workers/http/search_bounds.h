// SearchBounds: how many searches a client address may cause and how many requests of searches an
// origin gets. Owner: OriginSearch. Pure but for the seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "common/base/endpoint.h"
#include "common/base/rate_limiter.h"
#include "common/base/window_rate.h"
#include "common/config/config.h"
#include "ipc/shm_layout.h"

namespace weir::http {

class SearchBounds {
 public:
  explicit SearchBounds(const Config& config) : config_(config), addresses_(0, 0, 0) {}

  // The workers of the generation, which share what is allowed. To be called at first, and again
  // when it has changed.
  void share(std::size_t workers);
  bool take(ipc::OriginRef origin, std::uint64_t now_ms);
  bool take(const Endpoint& client, std::uint64_t now_ms);

 private:
  const Config& config_;
  std::size_t workers_ = 0;
  RateLimiter addresses_;
  std::unordered_map<std::uint64_t, WindowRate> origins_;
};

}  // namespace weir::http
