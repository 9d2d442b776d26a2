// HookClient: asks the operator's own server whether a client may play or publish, and tells it
// when one stops, without ever blocking. Owner: a worker; must die before the event base.
//
// A verdict about a viewer counts for hooks.cache_ttl, and those who wait for the same one share a
// call. A call has one deadline for all of it: the wait for the server's address, for a connection,
// connect, answer. Without an answer hooks.fail decides. A refusal, and what failed closed, counts
// for a second at most. Of a name's addresses the one that last took a connection is tried first,
// then the others; each gets its share of the time that is left.
//
// Bounds: hooks.connections at once, limits::kHookCalls calls (the others fail at once), bytes of
// an answer, entries of the cache. Connections are used again; a call that finds its connection
// closed by a server that had enough of it gets one new connection, no other retry.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/http_url.h"
#include "common/base/log_budget.h"
#include "common/config/config.h"
#include "ipc/counters.h"
#include "workers/core/event_ptr.h"
#include "workers/core/hook_plan.h"
#include "workers/core/origin_connect.h"
#include "workers/core/poller.h"
#include "workers/core/resolver.h"

namespace weir {

class HookClient {
 public:
  using Ticket = std::uint64_t;  // 0: none
  using OnVerdict = std::function<void(const HookVerdict&)>;

  // `resolver` must live longer. `on_idle`: the last call has ended.
  HookClient(event_base* base, const Config& config, Resolver& resolver, ipc::Counters& counters,
             std::function<void()> on_idle);
  ~HookClient();

  bool wants(HookAction action) const { return targets_[static_cast<std::size_t>(action)].on; }
  struct Asked {
    Ticket ticket = 0;                   // the verdict comes later
    std::optional<HookVerdict> verdict;  // or it is here
  };
  // REQUIRES: wants(event.action). `done` is called from the event loop, unless cancelled.
  Asked ask(const HookEvent& event, OnVerdict done);
  // The answer, if any, still goes to the cache.
  void cancel(Ticket ticket);
  // Nothing happens when nobody wants to be told.
  void tell(const HookEvent& event);
  bool idle() const { return calls_.empty(); }

 private:
  struct Target {
    bool on = false;
    HttpUrl url;
    Resolver::Watch host;
    Endpoint good;  // the address that last took a connection
  };
  struct Call;
  struct Link;

  Target& target_of(const Call& call);
  std::size_t addresses_of(const Call& call);
  Endpoint next_address(const Call& call);
  void on_address();
  std::uint64_t begin(const HookEvent& event, std::optional<HookKey> key);
  void use(Link& link, std::uint64_t id);
  static void ask_through(Link& link, const Call& call);
  void after_connect(Link& link, const ConnectStep& step);
  Link* idle_link(const Endpoint& endpoint);
  Link* new_link(const Endpoint& endpoint);
  void drop_link(Link& link);
  void on_ready(std::uint64_t token, std::uint32_t events);
  void serve(Link& link);
  void took(Link& link, ParseStatus status);
  void answered(Link& link);
  void broke(Link& link, const std::string& why);
  void try_next(std::uint64_t id, const std::string& why);
  void fail(std::uint64_t id, ipc::Counter counter, const std::string& why);
  void finish(std::uint64_t id, const HookVerdict& verdict, bool failed);
  void feed_queue();
  void arm_timer();
  void on_timer();

  event_base* base_;
  const Config& config_;
  ipc::Counters& counters_;
  std::function<void()> on_idle_;
  HookSender sender_;
  HashSeed seed_;
  std::array<Target, kHookActions> targets_;
  HookCache cache_;
  OriginTls tls_;  // not used: an https URL is refused when the configuration is read
  OriginConnect connect_;
  Poller poller_;
  EventPtr timer_;
  std::vector<std::unique_ptr<Link>> links_;
  std::map<std::uint64_t, std::unique_ptr<Call>>
      calls_;                           // by id: the oldest has the first deadline
  std::deque<std::uint64_t> queue_;     // calls that wait for a connection
  std::deque<std::uint64_t> nameless_;  // calls that wait for an address
  std::unordered_map<HookKey, std::uint64_t, HookKeyHash> shared_;  // calls that others may join
  std::unordered_map<Ticket, std::uint64_t> tickets_;               // to calls
  std::vector<std::uint8_t> read_buffer_;
  std::uint64_t last_id_ = 0;
  Ticket last_ticket_ = 0;
  LogBudget failures_{1};
};

}  // namespace weir
