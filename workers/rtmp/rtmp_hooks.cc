// RtmpWorker: what the operator's own server says about a client, and is told at its end.
#include "workers/rtmp/rtmp_worker.h"

namespace weir::rtmp {

namespace {

HookEvent hook_event(const Conn& conn) {
  const RouteWanted& wanted = conn.preamble->session.wanted();
  HookEvent event;
  event.action = conn.publisher ? HookAction::kPublish : HookAction::kPlay;
  event.session = conn.id;
  event.client = conn.client;
  const route::StreamKey key = route::parse_stream_key(conn.key);
  event.vhost = key.vhost();
  event.app = key.app();
  event.stream = key.stream();
  event.param = rtmp_hook_param(wanted.tc_url, wanted.app, wanted.stream);
  event.tc_url = wanted.tc_url;
  event.page_url = wanted.page_url;
  return event;
}

}  // namespace

// False: nobody has to be asked.
bool RtmpWorker::ask_hook(std::uint32_t index) {
  Conn& conn = conns_[index];
  const bool asks = hooks_.wants(conn.publisher ? HookAction::kPublish : HookAction::kPlay);
  if (!asks && !hooks_.wants(conn.publisher ? HookAction::kUnpublish : HookAction::kStop)) {
    return false;
  }
  HookEvent event = hook_event(conn);
  if (!asks) {
    on_verdict(index, event, {true, {}});
    return true;
  }
  conn.preamble->stage = Stage::kAsking;
  conn.preamble->deadline_ms = 0;
  const HookClient::Asked asked = hooks_.ask(event, [this, index, event](const HookVerdict& said) {
    Preamble& p = *conns_[index].preamble;
    p.hook = 0;
    if (p.stage != Stage::kAsking) return;  // it is being closed
    on_verdict(index, event, said);
  });
  conn.preamble->hook = asked.ticket;
  if (asked.verdict) on_verdict(index, event, *asked.verdict);
  return true;
}

void RtmpWorker::on_verdict(std::uint32_t index, const HookEvent& event,
                            const HookVerdict& verdict) {
  if (!verdict.allowed) {
    refuse(index, EndReason::kHook, "refused by the operator's server: " + verdict.why);
    return;
  }
  Conn& conn = conns_[index];
  const HookAction at_end = conn.publisher ? HookAction::kUnpublish : HookAction::kStop;
  if (hooks_.wants(at_end)) {
    conn.stop = std::make_unique<HookEvent>(event);
    conn.stop->action = at_end;
  }
  route(index);
}

}  // namespace weir::rtmp
