// SrtWorker: what the operator's own server says about a caller, and is told when nothing came of
// it. The end of an established session is told by the control worker (docs/UDP.md).
#include <utility>

#include "workers/srt/srt_worker.h"

namespace weir::srt {
namespace {

bool publishes(const Dial& dial) {
  return dial.handshake.mode() == Mode::kPublish;
}

std::string hook_param(const Session& handshake) {
  std::string out;
  if (!handshake.user().empty()) out.append("?u=").append(handshake.user());
  if (handshake.parameters().empty()) return out;
  return out.append(out.empty() ? "?" : "&").append(handshake.parameters());
}

}  // namespace

HookEvent SrtWorker::hook_event(const Dial& dial, HookAction action) const {
  HookEvent event = udp_hook_event(action, dial.id, dial.key.address, dial.handshake.key().text,
                                   hook_param(dial.handshake));
  event.tc_url = srt_tc_url(event);
  return event;
}

HookEvent SrtWorker::end_event(const Dial& dial) const {
  const HookAction action = publishes(dial) ? HookAction::kUnpublish : HookAction::kStop;
  if (hooks_.wants(action)) return hook_event(dial, action);
  HookEvent nobody_asks;
  nobody_asks.action = action;
  return nobody_asks;
}

void SrtWorker::ask_hook(Dial& dial) {
  const HookAction action = publishes(dial) ? HookAction::kPublish : HookAction::kPlay;
  if (!hooks_.wants(action)) return on_verdict(dial, {true, {}});
  const auto asked = hooks_.ask(hook_event(dial, action),
                                [this, key = dial.key, id = dial.id](const HookVerdict& verdict) {
                                  Dial* waiting = dials_.find(key);
                                  if (waiting == nullptr || waiting->id != id) return;
                                  waiting->hook = 0;
                                  if (waiting->stage != DialStage::kAsking)
                                    return;  // it took too long
                                  on_verdict(*waiting, verdict);
                                  flush(*waiting);
                                });
  dial.hook = asked.ticket;
  if (asked.verdict) on_verdict(dial, *asked.verdict);
}

void SrtWorker::on_verdict(Dial& dial, const HookVerdict& verdict) {
  if (!verdict.allowed) {
    reject(dial, Reject::kForbidden, "refused by the operator's server: " + verdict.why);
    return;
  }
  dial.let_in = true;
  find_route(dial);
}

// Of a caller that was let in and has no session in the master's table that could end.
void SrtWorker::tell_end(Dial& dial) {
  if (std::exchange(dial.let_in, false)) hooks_.tell(end_event(dial));
}

}  // namespace weir::srt
