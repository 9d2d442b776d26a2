// MasterLink: a worker's connection to the master inside its event loop. Sends typed messages,
// checks that what arrives may come to this kind of worker, and handles ReopenLog itself. Beats on
// the counter page, so that the master sees that the loop turns.
// Owner: the worker's main function; must die before the event base.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "ipc/channel.h"
#include "ipc/counters.h"
#include "ipc/flow_messages.h"
#include "ipc/messages.h"
#include "workers/core/event_ptr.h"

namespace weir {

class MasterLink {
 public:
  struct Handlers {
    // RouteAnswer, Reply, SessionEnd: whatever is not handled by the others.
    std::function<void(ipc::MessageType, ByteView)> on_message;
    // deadline_ms: CLOCK_MONOTONIC at which what is left must end, 0 for never. Also called, with
    // 0, when the master is gone: the worker drains and leaves.
    std::function<void(std::uint64_t deadline_ms)> on_drain;
    std::function<void()> on_quit;
    // FlowAssign, with the upstream socket that came with it. Only UDP workers get any.
    std::function<void(const ipc::FlowAssign&, UniqueFd)> on_assign = {};
  };

  MasterLink(event_base* base, UniqueFd channel, ipc::WorkerKind kind, ipc::Counters& counters,
             Handlers handlers);

  // A number for header.request, never 0.
  std::uint32_t next_request();
  // False when the master is gone or the queue is full; the message is then lost.
  template <typename M>
  bool send(M& message) {
    return send_bytes(ipc::encode(message));
  }
  bool connected() const { return connected_; }

 private:
  bool send_bytes(ByteView bytes);
  void on_readable();
  void on_writable();
  void on_beat();
  void dispatch(ipc::Received& received);
  void lost();

  ipc::Channel channel_;
  ipc::WorkerKind kind_;
  ipc::Counters& counters_;
  Handlers handlers_;
  EventPtr read_event_;
  EventPtr write_event_;
  EventPtr beat_event_;
  EventPtr quit_signal_;  // SIGTERM, for a worker whose master is gone
  std::uint32_t last_request_ = 0;
  bool connected_ = true;
};

}  // namespace weir
