// Probe: one question to one endpoint of an origin, and whether it answers. RTMP: C0 and C1, wants
// S0 and a byte of S1 (RTMP 1.0, 5.2). HTTP and API: a small request, wants the beginning of any
// HTTP answer. SRT: an induction, which makes no session there, wants its answer. TLS is spoken
// where the endpoint is reached by it, with the certificate checked as for clients' connections.
// Owner: the Prober, which watches the deadline.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "ipc/messages.h"
#include "ipc/shm_layout.h"
#include "workers/core/event_ptr.h"
#include "workers/core/origin_connect.h"
#include "workers/core/side.h"

namespace weir::control {

// nullopt: no verdict, since this machine lacked something.
using ProbeVerdict = std::optional<ipc::DialOutcome>;

class Probe {
 public:
  // Called once, unless the probe is destroyed before; the callee may destroy it.
  using Done = std::function<void(ProbeVerdict)>;

  // `address`: which of those that the origin has of this kind. REQUIRES: can_be_probed(kind).
  Probe(event_base* base, OriginConnect& connect, const ipc::OriginRecord& origin,
        ipc::EndpointKind kind, std::size_t address, Done done);
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  void start();
  // Asks again where a datagram may have been lost.
  void ask_again();

 private:
  // Each step says what is known now; kOpen: wait for the socket.
  enum class Step : std::uint8_t { kOpen, kAlive, kFailed, kNoVerdict };
  Step failed(ipc::DialOutcome why);
  Step failed_by(int error);
  void finish(Step step);
  Step connect();
  Step open_udp();
  bool watch(int fd);
  Step after(const ConnectStep& step);
  Step on_ready();
  Step exchange();
  Step judge(ByteView bytes);
  Step judge_srt(ByteView datagram);
  Step send_induction();

  event_base* base_;
  OriginConnect& connect_;
  Done done_;
  ipc::EndpointKind kind_;
  ConnectTarget target_;  // without a client: a PROXY header says that the connection is our own
  Side side_;
  bool open_ = false;
  ipc::DialOutcome why_ = ipc::DialOutcome::kOk;
  std::vector<std::uint8_t> answer_;  // its beginning
  EventPtr event_;
};

}  // namespace weir::control
