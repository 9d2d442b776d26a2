// Acceptor: takes connections off a worker's inherited listen sockets, as long as there are
// descriptors for them and for what they will need later; else it pauses, says so once, and the
// clients wait in the listen queue. Where a listener expects it, the PROXY protocol header is read
// first and the client is who it names. Owner: a worker; must die before the event base.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/access_list.h"
#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/base/log_budget.h"
#include "common/base/network.h"
#include "common/config/config.h"
#include "ipc/counters.h"
#include "workers/core/event_ptr.h"
#include "workers/core/proxy_prelude.h"

namespace weir {

inline ProxySettings proxy_settings(const Config& config, std::uint64_t timeout_ms) {
  return {parse_networks(config.proxy_protocol_networks).value_or(NetworkList{}), timeout_ms};
}

class Acceptor {
 public:
  struct Load {
    std::uint64_t connections = 0;
    std::uint64_t descriptors = 0;  // that these have now or may come to need
  };
  struct Handlers {
    std::function<void(UniqueFd fd, const Accepted& who)> on_accept;
    std::function<Load()> load;
    std::function<void()> on_pause;  // accepting stops for a moment, for want of descriptors
    std::function<void()> on_gone;   // a connection is pending no longer, whatever became of it
  };
  struct Settings {
    // What an accepted client takes: its own and, later, one to an origin.
    std::uint64_t descriptors_each = 2;
    ProxySettings proxy;
  };
  Acceptor(event_base* base, std::vector<UniqueFd> listeners, Settings settings,
           ipc::Counters& counters, Handlers handlers);

  // Before start(): that listener's connections begin with a PROXY protocol header.
  void expect_proxy_header(std::size_t listener) { listeners_[listener].proxied = true; }
  // Before start(): whom that listener lets in. `spared` are balancers whose clients are looked at
  // later, when they are known.
  void restrict_to(std::size_t listener, AccessList access, NetworkList spared) {
    listeners_[listener].access = std::move(access);
    listeners_[listener].spared = std::move(spared);
  }
  void start();
  // Closes this process's copies; the queues stay with the master. Pending connections go on.
  void stop();
  std::size_t listeners() const { return listeners_.size(); }
  // The address that a listener is bound to, also after stop().
  const Endpoint& address(std::size_t listener) const { return listeners_[listener].address; }
  // Connections that are accepted and not handed on yet: their header is not complete.
  std::size_t pending() const { return prelude_.size(); }
  void drop_pending() { prelude_.clear(); }

 private:
  struct Listener {
    Acceptor* self = nullptr;
    std::size_t index = 0;
    bool proxied = false;
    Endpoint address;
    AccessList access;
    NetworkList spared;
    UniqueFd fd;
    EventPtr event;
  };
  void on_ready(Listener& listener);
  bool descriptors_left() const;
  void pause(std::string_view why);
  void hand_on(UniqueFd fd, const Accepted& who);

  std::vector<Listener> listeners_;
  std::uint64_t descriptors_each_;
  std::uint64_t descriptor_limit_;
  Handlers handlers_;
  ipc::Counters& counters_;
  LogBudget denials_;
  ProxyPrelude prelude_;
  EventPtr again_;
  bool said_so_ = false;  // that it pauses
};

}  // namespace weir
