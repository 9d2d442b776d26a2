// Who is let in to an HTTP server: connections at accept, requests when the client is known (behind
// a balancer it is only then). Owner: http::Server. Refusals are counted, and logged once a second.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/base/access_list.h"
#include "common/base/endpoint.h"
#include "common/base/log_budget.h"
#include "common/base/network.h"
#include "common/base/rate_limiter.h"
#include "ipc/counters.h"
#include "workers/core/http_meters.h"

namespace weir::http {

struct LimitSettings {
  std::uint64_t connections = 0;              // over all workers
  std::uint64_t connections_per_address = 0;  // of this worker; 0: no limit
  std::uint64_t request_rate = 0;             // a second and address; 0: no limit
  std::uint64_t request_burst = 0;
  NetworkList trusted;  // balancers: their connections are their clients'
};

class Limits {
 public:
  Limits(const LimitSettings& settings, const Meters& meters, ipc::Counters& counters);

  bool full(std::uint64_t active) const { return active + elsewhere_ >= settings_.connections; }
  // Whether one connection more may come to the `active` ones of this worker.
  bool admit(const Endpoint& client, std::uint64_t active);
  // Connections of the other workers.
  void set_elsewhere(std::uint64_t connections) { elsewhere_ = connections; }
  // The group to give to uncount() at the connection's end, if it is counted.
  std::optional<std::uint64_t> count(const Endpoint& client);
  void uncount(std::optional<std::uint64_t> group);

  enum class Verdict : std::uint8_t { kGoOn, kDenied, kTooMany };
  struct Asked {
    Verdict verdict = Verdict::kGoOn;
    std::uint64_t wait_s = 0;  // kTooMany
  };
  Asked may_ask(const Endpoint& client, const AccessList& access, std::uint64_t now_ms);

 private:
  std::string reached(std::string_view what, std::string_view option) const;

  const LimitSettings settings_;
  const Meters& meters_;
  ipc::Counters& counters_;
  RateLimiter requests_;
  std::uint64_t elsewhere_ = 0;
  std::unordered_map<std::uint64_t, std::uint64_t> addresses_;  // address group -> connections
  LogBudget denials_{1};
  LogBudget total_refusals_{1};
  LogBudget address_refusals_{1};
  LogBudget rate_refusals_{1};
};

}  // namespace weir::http
