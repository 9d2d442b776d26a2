// HttpWorker: who is let in: connections at accept, requests when the client is known.
#include <string>
#include <utility>

#include "workers/http/http_worker.h"

namespace weir::http {

using ipc::Counter;

// Whether one connection more may come. A balancer's connections are its clients', so only the
// limit over all holds for them.
bool HttpWorker::admit(const Endpoint& client) {
  const auto most = static_cast<std::uint64_t>(config_.http.max_connections);
  if (conns_.active() + elsewhere_ >= most) {
    counters_.add(Counter::kHttpRefusedTotal);
    log_refused(total_refusals_, "connection refused, http.max_connections is reached", client,
                most);
    return false;
  }
  const auto limit = static_cast<std::uint64_t>(config_.http.max_connections_per_address);
  if (limit == 0 || trusted_.contains(client)) return true;
  const auto found = addresses_.find(address_group(client));
  if (found == addresses_.end() || found->second < limit) return true;
  counters_.add(Counter::kHttpRefusedAddress);
  log_refused(address_refusals_, "connection refused, http.max_connections_per_address is reached",
              client, limit);
  return false;
}

void HttpWorker::count_address(HttpConn& conn) {
  if (config_.http.max_connections_per_address == 0 || trusted_.contains(conn.client)) return;
  conn.address_group = address_group(conn.client);
  ++addresses_[*conn.address_group];
}

void HttpWorker::uncount_address(const HttpConn& conn) {
  if (!conn.address_group) return;
  const auto found = addresses_.find(*conn.address_group);
  if (found != addresses_.end() && --found->second == 0) addresses_.erase(found);
}

// Whether the access options and the request rate let this request go on; else it is answered. At
// accept only the balancer may have been known.
bool HttpWorker::may_ask(std::uint32_t index, const RequestHead& head) {
  HttpConn& conn = conns_[index];
  const Endpoint& client = conn.exchange->identity.client;
  if (!(conn.api ? api_access_ : access_).allows(client)) {
    counters_.add(Counter::kAccessRequest);
    log_refused(denials_, "request refused, the access option denies it", client, 0);
    answer(index, {403, "text/plain; charset=utf-8", "not from this address\n", {}, true});
    return false;
  }
  const std::uint64_t wait_ms = requests_.take(address_group(client), conn.mark.started_ms);
  if (wait_ms == 0) return true;
  counters_.add(Counter::kHttpRefusedRate);
  log_refused(rate_refusals_, "request refused, http.request_rate is reached", client,
              static_cast<std::uint64_t>(config_.http.request_rate));
  Answer refusal{429, "text/plain; charset=utf-8", "too many requests\n", {}, !head.body.empty()};
  refusal.retry_after = (wait_ms + 999) / 1000;
  answer(index, refusal);
  return false;
}

}  // namespace weir::http
