#include "workers/core/http_limits.h"

#include <array>
#include <string>

#include "common/base/bytes.h"
#include "common/net/crypto.h"
#include "workers/core/tcp_worker.h"

namespace weir::http {
namespace {

std::uint64_t random_seed() {
  std::array<std::uint8_t, 8> bytes{};
  net::fill_random(bytes);
  return load_be64(bytes.data());
}

}  // namespace

Limits::Limits(const LimitSettings& settings, const Meters& meters, ipc::Counters& counters)
    : settings_(settings),
      meters_(meters),
      counters_(counters),
      requests_(settings.request_rate, settings.request_burst, random_seed()) {}

std::string Limits::reached(std::string_view what, std::string_view option) const {
  std::string text(what);
  return text.append(" refused, ").append(meters_.section).append(option).append(" is reached");
}

// A balancer's connections are its clients', so only the limit over all holds for them.
bool Limits::admit(const Endpoint& client, std::uint64_t active) {
  if (full(active)) {
    counters_.add(meters_.refused_total);
    log_refused(total_refusals_, reached("connection", ".max_connections"), client,
                settings_.connections);
    return false;
  }
  const std::uint64_t limit = settings_.connections_per_address;
  if (limit == 0 || settings_.trusted.contains(client)) return true;
  const auto found = addresses_.find(address_group(client));
  if (found == addresses_.end() || found->second < limit) return true;
  counters_.add(meters_.refused_address);
  log_refused(address_refusals_, reached("connection", ".max_connections_per_address"), client,
              limit);
  return false;
}

std::optional<std::uint64_t> Limits::count(const Endpoint& client) {
  if (settings_.connections_per_address == 0 || settings_.trusted.contains(client)) {
    return std::nullopt;
  }
  const std::uint64_t group = address_group(client);
  ++addresses_[group];
  return group;
}

void Limits::uncount(std::optional<std::uint64_t> group) {
  if (!group) return;
  const auto found = addresses_.find(*group);
  if (found != addresses_.end() && --found->second == 0) addresses_.erase(found);
}

// At accept only the balancer may have been known.
Limits::Asked Limits::may_ask(const Endpoint& client, const AccessList& access,
                              std::uint64_t now_ms) {
  if (!access.allows(client)) {
    counters_.add(ipc::Counter::kAccessRequest);
    log_refused(denials_, "request refused, the access option denies it", client, 0);
    return {Verdict::kDenied, 0};
  }
  const std::uint64_t wait_ms = requests_.take(address_group(client), now_ms);
  if (wait_ms == 0) return {};
  counters_.add(meters_.refused_rate);
  log_refused(rate_refusals_, reached("request", ".request_rate"), client, settings_.request_rate);
  return {Verdict::kTooMany, (wait_ms + 999) / 1000};
}

}  // namespace weir::http
