// FlowNotices: who is told that a session of WebRTC or SRT has ended: the operator's server, by the
// control worker, and the origin of a WebRTC session that knows nothing of it, by an http worker.
// Notices wait, bounded, until there is such a worker and its channel takes them. Owner: Flows.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "common/config/config.h"
#include "ipc/flow_messages.h"
#include "ipc/worker_entry.h"

namespace weir {

class FlowNotices {
 public:
  // As Flows::Send.
  using Send = std::function<bool(std::uint32_t page, ByteView message, int fd)>;
  explicit FlowNotices(Send send) : send_(std::move(send)) {}

  void apply(const Config& config);
  // Workers of these kinds come and go; others are none of this object's.
  void worker_serves(std::uint32_t page, ipc::WorkerKind kind);
  void worker_leaves(std::uint32_t page);
  // The last session of its group has ended.
  void note(const ipc::FlowRecord& last, ipc::FlowEndReason reason);
  // As far as the channels take them; the rest with a later call.
  void send();

 private:
  void note_end(const ipc::FlowRecord& last, ipc::FlowEndReason reason);
  void note_abandoned(const ipc::FlowRecord& last, ipc::FlowEndReason reason);

  Send send_;
  bool tells_stop_ = false;  // hooks.on_stop wants to hear of players' ends
  bool tells_unpublish_ = false;
  std::uint32_t teller_ = ipc::kNoSlot;  // page of the control worker that makes these calls
  std::deque<ipc::FlowEnded> ended_;     // not sent yet
  std::vector<std::uint32_t> removers_;  // pages of the http workers that tell origins
  std::deque<ipc::FlowAbandoned> abandoned_;
};

}  // namespace weir
