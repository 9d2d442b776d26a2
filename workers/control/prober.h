// Prober: asks each origin's RTMP port for a handshake now and then, so that a dead origin is found
// before a client is, and an ejected one is known to be back. An origin without RTMP is asked for
// an SRT induction, which makes no session there. Results go to the master, which decides. Only
// news is sent: failures, and successes of origins that have failed. Owner: the control worker;
// must die before the event base and the MasterLink.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <vector>

#include "common/base/fd.h"
#include "ipc/counters.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "workers/core/event_ptr.h"

namespace weir::control {

struct ProbeSettings {
  std::uint64_t interval_ms = 2000;  // 0: never
  std::uint64_t timeout_ms = 1000;
};

class Prober {
 public:
  using Send = std::function<void(ipc::ProbeResult&)>;
  Prober(event_base* base, const ipc::StateView& state, ipc::Counters& counters,
         const ProbeSettings& settings, Send send);
  ~Prober() = default;
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  void stop();

 private:
  struct Due {
    ipc::OriginRef origin;
    Endpoint endpoint;
    std::uint8_t proxy_protocol = 0;
    ipc::EndpointKind kind = ipc::EndpointKind::kRtmp;
  };
  struct Probe {
    Prober* prober = nullptr;
    ipc::OriginRef origin;
    Scheme scheme = Scheme::kDefault;
    ipc::EndpointKind kind = ipc::EndpointKind::kRtmp;
    UniqueFd fd;
    bool connected = false;
    std::vector<std::uint8_t> hello;
    std::size_t sent = 0;
    std::size_t received = 0;
    std::uint64_t deadline_ms = 0;
    EventPtr event;
    std::list<Probe>::iterator self;
  };

  void tick();
  void collect();
  void start(const Due& due);
  void on_ready(Probe& probe, short what);
  bool wait_for(Probe& probe, short what);
  void send_hello(Probe& probe);
  void read_answer(Probe& probe);
  void ask_srt(Probe& probe);
  void read_srt(Probe& probe);
  void finish(Probe& probe, ipc::DialOutcome outcome);
  void report(ipc::OriginRef origin, ipc::EndpointKind kind, ipc::DialOutcome outcome);

  event_base* base_;
  const ipc::StateView& state_;
  ipc::Counters& counters_;
  ProbeSettings settings_;
  Send send_;
  std::uint64_t next_round_ms_ = 0;
  std::vector<Due> due_;  // of this round, in order
  std::size_t next_due_ = 0;
  std::size_t per_tick_ = 0;
  std::list<Probe> probes_;  // under way
  EventPtr timer_;
};

}  // namespace weir::control
