// Prober: finds out which endpoints of the origins answer. Each endpoint that can be probed is
// asked once in each interval, and one that a client could not reach, or whose ejection is over, at
// once (ProbeNow), then several times in quick succession until the matter is clear. An endpoint
// has failed when none of its addresses answered. Results go to the master, which decides; only
// news is sent: failures, and successes of what had failed. Owner: the control worker; must die
// before the event base and the MasterLink.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "common/config/config.h"
#include "ipc/counters.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "workers/control/probe.h"
#include "workers/core/event_ptr.h"
#include "workers/core/origin_connect.h"

namespace weir::control {

class Prober {
 public:
  using Send = std::function<void(ipc::ProbeResult&)>;
  Prober(event_base* base, const Config& config, const ipc::StateView& state,
         ipc::Counters& counters, Send send);
  ~Prober() = default;
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  // An order of the master. Known ones are not doubled.
  void probe_now(const ipc::ProbeNow& order);
  void stop();

 private:
  struct Target {
    ipc::OriginRef origin;
    ipc::EndpointKind kind = ipc::EndpointKind::kRtmp;
  };
  // One that the master wants to know about.
  struct Order {
    ipc::OriginRef origin;
    std::uint32_t probes_left = 0;
    std::uint64_t due_ms = 0;
    bool running = false;
  };
  struct Running {
    Target target;
    std::size_t address = 0;
    std::size_t addresses_left = 0;  // beside this one
    std::uint64_t deadline_ms = 0;
    std::uint64_t ask_again_ms = 0;
    std::unique_ptr<Probe> probe;
    std::list<Running>::iterator self;
  };
  using OrderKey = std::pair<std::uint32_t, ipc::EndpointKind>;  // slot of the origin

  void tick();
  void watch_running(std::uint64_t now_ms);
  void run_orders(std::uint64_t now_ms);
  void run_round(std::uint64_t now_ms);
  void collect();
  void start(const Target& target, const ipc::OriginRecord& record);
  void start_address(Running& running, const ipc::OriginRecord& record);
  void finish(Running& running, ProbeVerdict verdict);
  void follow_up(const Target& target, ProbeVerdict verdict);
  void report(const Target& target, ipc::DialOutcome outcome);

  event_base* base_;
  const Config& config_;
  const ipc::StateView& state_;
  ipc::Counters& counters_;
  Send send_;
  OriginTls tls_;
  OriginConnect connect_;
  bool stopped_ = false;
  std::uint64_t next_round_ms_ = 0;
  std::size_t rounds_ = 0;
  std::vector<Target> due_;  // of this round, in order
  std::size_t next_due_ = 0;
  std::size_t per_tick_ = 0;
  std::map<OrderKey, Order> orders_;
  std::list<Running> running_;
  EventPtr timer_;
};

}  // namespace weir::control
