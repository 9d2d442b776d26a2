#include "supervisor/flow_notices.h"

#include "common/base/limits.h"
#include "ipc/messages.h"

namespace weir {
namespace {

using ipc::FlowEndReason;
using ipc::FlowField;
using ipc::FlowKind;
using ipc::kNoSlot;
using ipc::WorkerKind;

// Whether the origin goes on with a session that has ended here: it was not told by a DELETE, and
// it is there to be told.
constexpr bool is_unknown_to_origin(FlowEndReason reason) {
  return reason == FlowEndReason::kKicked || reason == FlowEndReason::kIdle ||
         reason == FlowEndReason::kClosed || reason == FlowEndReason::kSignalTimeout ||
         reason == FlowEndReason::kPortLost || reason == FlowEndReason::kStopped ||
         reason == FlowEndReason::kStreamMoved;
}

}  // namespace

void FlowNotices::apply(const Config& config) {
  tells_stop_ = !config.hooks.on_stop.empty();
  tells_unpublish_ = !config.hooks.on_unpublish.empty();
}

void FlowNotices::worker_serves(std::uint32_t page, WorkerKind kind) {
  if (kind == WorkerKind::kControl) teller_ = page;
  if (kind == WorkerKind::kHttp) removers_.push_back(page);
  send();
}

void FlowNotices::worker_leaves(std::uint32_t page) {
  if (page == teller_) teller_ = kNoSlot;
  std::erase(removers_, page);
}

void FlowNotices::note(const ipc::FlowRecord& last, FlowEndReason reason) {
  note_end(last, reason);
  note_abandoned(last, reason);
  send();
}

// What an SRT caller tried in vain is no session; its worker knows whether another try follows.
void FlowNotices::note_end(const ipc::FlowRecord& last, FlowEndReason reason) {
  const bool wanted = last.role == ipc::Role::kPublisher ? tells_unpublish_ : tells_stop_;
  const bool in_vain = last.kind == FlowKind::kSrt && reason == FlowEndReason::kRefused;
  if (!wanted || in_vain || ended_.size() >= limits::kHookCalls) return;
  ipc::FlowEnded& message = ended_.emplace_back();
  message.session = last.group;
  message.kind = last.kind;
  message.role = last.role;
  message.client = last.signaller;
  message.texts.set(FlowField::kKey, last.get(FlowField::kKey));
  message.texts.set(FlowField::kParam, last.get(FlowField::kParam));
}

void FlowNotices::note_abandoned(const ipc::FlowRecord& last, FlowEndReason reason) {
  if (last.kind != FlowKind::kRtc || !is_unknown_to_origin(reason)) return;
  if (abandoned_.size() >= limits::kAbandonedFlows) return;
  ipc::FlowAbandoned& message = abandoned_.emplace_back();
  message.session = last.group;
  message.origin = last.origin;
  message.role = last.role;
  message.reason = reason;
  message.created_ms = last.created_ms;
  message.texts.set(FlowField::kKey, last.get(FlowField::kKey));
  message.texts.set(FlowField::kResource, last.get(FlowField::kResource));
}

void FlowNotices::send() {
  while (teller_ != kNoSlot && !ended_.empty() && send_(teller_, ipc::encode(ended_.front()), -1)) {
    ended_.pop_front();
  }
  while (!removers_.empty() && !abandoned_.empty() &&
         send_(removers_.back(), ipc::encode(abandoned_.front()), -1)) {
    abandoned_.pop_front();
  }
}

}  // namespace weir
