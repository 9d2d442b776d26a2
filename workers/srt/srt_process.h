// What the parts of an SRT worker share. Owner: SrtWorker, which dies last; one thread.
#pragma once

#include <string>

#include "common/base/log_budget.h"
#include "common/config/config.h"
#include "ipc/counters.h"
#include "ipc/flow_reader.h"
#include "ipc/route_reader.h"
#include "workers/core/event_ptr.h"
#include "workers/core/master_link.h"
#include "workers/core/origin_text.h"
#include "workers/core/udp_relay.h"
#include "workers/srt/srt_session.h"

namespace weir::srt {

struct SrtProcess {
  event_base* base;
  const Config& config;
  const ipc::StateView& state;
  const ipc::FlowView& table;
  ipc::Counters& counters;
  MasterLink& link;
  UdpRelay& relay;
  event* turn;  // see wake()
  SessionOptions options;
  LogBudget refusals{20};  // lines a second about refused callers

  // What must not be done within the relay's work, where no session may end, is done right after
  // it, in SrtWorker::on_turn().
  void wake() const { event_active(turn, EV_TIMEOUT, 0); }
  // An origin as log lines name it.
  std::string origin_text(ipc::OriginRef ref, const Endpoint& endpoint) const {
    return weir::origin_text(state, ref, endpoint);
  }
};

}  // namespace weir::srt
