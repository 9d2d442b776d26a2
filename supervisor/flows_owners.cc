// Flows, second part: which worker owns a session, and what time does to sessions.
#include <algorithm>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "supervisor/flows.h"

namespace weir {
namespace {

using ipc::FlowEndReason;
using ipc::FlowKind;
using ipc::FlowState;
using ipc::kNoSlot;
using ipc::WorkerKind;

constexpr std::uint64_t kSecondMs = 1000;
constexpr std::uint64_t kRetryMs = 5;          // a channel that had no room for a descriptor
constexpr std::uint64_t kOrphanMs = 60000;     // no worker came for the session in this time
constexpr std::uint64_t kSilentMs = 60000;     // beyond the idle timeout: the owner has none of it
constexpr std::size_t kExpiriesAtOnce = 1024;  // so that one tick never takes long
constexpr std::size_t kChecksAtOnce = 4096;
constexpr std::uint64_t kPauseMs = 5000;  // ticks come each second

constexpr std::size_t index(FlowKind kind) {
  return static_cast<std::size_t>(kind);
}
constexpr bool serves_flows(WorkerKind kind) {
  return kind == WorkerKind::kRtc || kind == WorkerKind::kSrt;
}
constexpr FlowKind flows_of(WorkerKind kind) {
  return kind == WorkerKind::kSrt ? FlowKind::kSrt : FlowKind::kRtc;
}

}  // namespace

// Gives the session to the worker; it learns so, and an owner before it that it is rid of it.
void Flows::set_owner(std::uint32_t slot, std::uint32_t page, std::uint32_t request) {
  FlowBook::Meta& meta = book_[slot];
  const ipc::FlowRef flow = book_.ref_of(slot);
  if (meta.owner != page) {
    if (meta.owner != kNoSlot) {
      ipc::FlowRelease release;
      release.flow = flow;
      release.session = book_.table().get(slot).session;
      release.reason = FlowEndReason::kMoved;
      send_(meta.owner, ipc::encode(release), -1);
      meta.last_owner = meta.owner;
    }
    const bool takeover = meta.last_owner != kNoSlot || meta.ownerless_ms != 0;
    if (takeover) {
      book_.table().header().takeovers[index(meta.kind)].fetch_add(1, std::memory_order_relaxed);
    }
    meta.owner = page;
    meta.delivered = false;
    meta.ownerless_ms = 0;
    const auto by = workers_.find(page);
    if (by != workers_.end()) meta.home = static_cast<std::uint16_t>(by->second.slot);
    ipc::FlowRecord record = book_.table().get(slot);
    record.owner = page;
    book_.table().put(slot, record);
  }
  const auto to = workers_.find(page);
  if (to == workers_.end()) return;
  to->second.assignments.push_back({flow, request});
  send_assignments(page, to->second);
}

// In order, as far as the channel takes them. False: the rest waits.
bool Flows::send_assignments(std::uint32_t page, Worker& to) {
  while (!to.assignments.empty()) {
    const Assignment next = to.assignments.front();
    const std::uint32_t slot = book_.table().find(next.flow);
    ipc::FlowAssign message;
    message.header.request = next.request;
    message.flow = next.flow;
    int fd = -1;
    if (slot == kNoSlot || book_[slot].owner != page) {
      // It ended, or moved on, while this waited: only a claim wants to know.
      message.status = ipc::FlowStatus::kUnknown;
    } else {
      message.status = ipc::FlowStatus::kOk;
      message.session = book_.table().get(slot).session;
      message.keep_socket = book_[slot].delivered;
      if (!message.keep_socket) fd = book_[slot].upstream.get();
    }
    if (message.status == ipc::FlowStatus::kOk || next.request != 0) {
      if (!send_(page, ipc::encode(message), fd)) {
        retry_ms_ = monotonic_ms() + kRetryMs;
        return false;
      }
      if (fd >= 0) book_[slot].delivered = true;
    }
    to.assignments.pop_front();
  }
  return true;
}

void Flows::make_ownerless(std::uint32_t slot, std::uint64_t now_ms) {
  FlowBook::Meta& meta = book_[slot];
  meta.last_owner = std::exchange(meta.owner, kNoSlot);
  meta.delivered = false;
  meta.ownerless_ms = now_ms;
  ipc::FlowRecord record = book_.table().get(slot);
  record.owner = kNoSlot;
  book_.table().put(slot, record);
  ownerless_[index(meta.kind)].push_back({slot, record.generation});
}

void Flows::worker_serves(std::uint32_t page, WorkerKind kind, unsigned slot, unsigned slots,
                          std::uint64_t now_ms) {
  notices_.worker_serves(page, kind);
  if (!serves_flows(kind) || slots == 0) return;
  Worker& heir = worker(page, kind, now_ms);
  if (heir.slots != 0) return;
  heir.slot = slot;
  heir.slots = slots;
  if (!adopting_) start_serving(page, now_ms);
}

void Flows::start_serving(std::uint32_t page, std::uint64_t now_ms) {
  const Worker& heir = workers_.at(page);
  // First its sessions, so that it knows them when it reads the first packet.
  find_owners(page, heir, now_ms);
  ipc::Serve serve;
  send_(page, ipc::encode(serve), -1);
}

// A session goes to the worker that reads its client's slot socket: the socket of slot S is
// served by worker S % slots (share_of_slot).
void Flows::find_owners(std::uint32_t page, const Worker& heir, std::uint64_t now_ms) {
  auto& waiting = ownerless_[index(flows_of(heir.kind))];
  std::uint64_t taken = 0;
  for (std::size_t left = waiting.size(); left > 0; --left) {
    const ipc::FlowRef flow = waiting.front();
    waiting.pop_front();
    const std::uint32_t slot = book_.table().find(flow);
    if (slot == kNoSlot || book_[slot].owner != kNoSlot) continue;
    if (book_[slot].rebind_until_ms != 0 || book_[slot].home % heir.slots != heir.slot) {
      waiting.push_back(flow);
      continue;
    }
    set_owner(slot, page, 0);
    ++taken;
  }
  if (taken == 0) return;
  LogLine(LogLevel::kInfo, "sessions taken over")
      .field("kind", to_string(heir.kind))
      .field("slot", heir.slot)
      .field("sessions", taken)
      .field("now_ms", now_ms);
}

void Flows::worker_drains(std::uint32_t page, std::uint64_t now_ms) {
  notices_.worker_leaves(page);
  const auto found = workers_.find(page);
  if (found == workers_.end() || found->second.slots == 0) return;
  found->second.draining = true;
  if (frozen_) return;
  for (std::uint32_t slot = 0; slot < book_.limit(); ++slot) {
    const FlowBook::Meta& meta = book_[slot];
    if (meta.live && meta.owner == page && meta.transport == ipc::FlowTransport::kUdp) {
      make_ownerless(slot, now_ms);
    }
  }
}

void Flows::worker_gone(std::uint32_t page, std::uint64_t now_ms) {
  notices_.worker_leaves(page);
  std::erase_if(pending_creates_, [page](const auto& each) { return each.page == page; });
  if (workers_.erase(page) == 0 || frozen_) return;
  // The page's next process is another one.
  for (std::uint32_t slot = 0; slot < book_.limit(); ++slot) {
    FlowBook::Meta& meta = book_[slot];
    if (!meta.live) continue;
    if (meta.owner == page) make_ownerless(slot, now_ms);
    if (meta.last_owner == page) meta.last_owner = kNoSlot;
    if (meta.creator != page) continue;
    meta.creator = kNoSlot;
    // Of an SRT handshake nobody else knows yet; its caller begins anew at another worker.
    const bool orphan = meta.kind == FlowKind::kSrt && meta.owner == kNoSlot &&
                        book_.table().get(slot).state == FlowState::kSignalled;
    if (orphan) end(slot, FlowEndReason::kSignalTimeout, kNoSlot, now_ms);
  }
  // A worker of another slot may have become the heir: after a reload with fewer slots this one was
  // the last of its generation to leave.
  for (auto& [other, heir] : workers_) {
    if (heir.slots != 0 && !heir.draining && !adopting_) find_owners(other, heir, now_ms);
  }
}

void Flows::kind_stopped(WorkerKind kind, std::uint64_t now_ms) {
  if (frozen_ || adopting_) return;
  for (std::uint32_t slot = 0; slot < book_.limit(); ++slot) {
    const FlowBook::Meta& meta = book_[slot];
    if (!meta.live || meta.kind != flows_of(kind)) continue;
    if (meta.owner == kNoSlot) end(slot, FlowEndReason::kStopped, kNoSlot, now_ms);
  }
}

void Flows::expire_signalled(std::uint64_t now_ms) {
  for (std::size_t i = 0; i < kExpiriesAtOnce && !signalled_.empty(); ++i) {
    if (signalled_.front().at_ms > now_ms) return;
    const std::uint32_t slot = book_.table().find(signalled_.front().flow);
    signalled_.pop_front();
    if (slot == kNoSlot || book_.table().get(slot).state != FlowState::kSignalled) continue;
    end(slot, FlowEndReason::kSignalTimeout, kNoSlot, now_ms);
  }
}

// The longest waiting stand first, but for those that were asked about in between.
void Flows::expire_ownerless(std::uint64_t now_ms) {
  for (auto& waiting : ownerless_) {
    for (std::size_t left = std::min(waiting.size(), kExpiriesAtOnce); left > 0; --left) {
      const ipc::FlowRef flow = waiting.front();
      waiting.pop_front();
      const std::uint32_t slot = book_.table().find(flow);
      if (slot == kNoSlot || book_[slot].owner != kNoSlot) continue;
      if (now_ms - book_[slot].ownerless_ms < kOrphanMs) {
        waiting.push_back(flow);
      } else {
        end(slot, FlowEndReason::kStopped, kNoSlot, now_ms);
      }
    }
  }
}

// Owners end their idle sessions themselves. One that never got its session, or whose last word was
// lost, does not, and the session must not stay for as long as that worker lives.
void Flows::expire_silent(std::uint64_t now_ms) {
  // After a pause of this process the owners' words still stand in the channels.
  if (now_ms - silent_checked_ms_ > kPauseMs) silent_from_ms_ = now_ms + kSilentMs;
  silent_checked_ms_ = now_ms;
  if (now_ms < silent_from_ms_) return;
  for (std::size_t left = std::min<std::size_t>(book_.limit(), kChecksAtOnce); left > 0; --left) {
    if (next_checked_ >= book_.limit()) next_checked_ = 0;
    const std::uint32_t slot = next_checked_++;
    const FlowBook::Meta& meta = book_[slot];
    if (!meta.live || meta.owner == kNoSlot) continue;
    const std::uint64_t limit = idle_timeout_ms_[index(meta.kind)] + kSilentMs;
    if (now_ms - book_.table().get(slot).activity_ms < limit) continue;
    end(slot, FlowEndReason::kIdle, kNoSlot, now_ms);
  }
}

void Flows::tick(std::uint64_t now_ms) {
  book_.table().header().heartbeat_ms.store(now_ms, std::memory_order_relaxed);
  if (frozen_) return;
  if (retry_ms_ != 0 && now_ms >= retry_ms_) {
    retry_ms_ = 0;
    for (auto& [page, to] : workers_) send_assignments(page, to);
  }
  if (!rebinding_.empty() && now_ms >= next_rebind_ms_) rebind(now_ms);
  expire_signalled(now_ms);
  if (now_ms < next_second_ms_) return;
  next_second_ms_ = now_ms + kSecondMs;
  notices_.send();
  if (adopting_) return;
  expire_ownerless(now_ms);
  expire_silent(now_ms);
  book_.match_origins(now_ms);
}

std::uint64_t Flows::next_timer_ms() const {
  if (frozen_) return 0;
  std::uint64_t next = 0;
  const auto consider = [&next](std::uint64_t at) {
    if (at != 0 && (next == 0 || at < next)) next = at;
  };
  consider(retry_ms_);
  if (!signalled_.empty()) consider(signalled_.front().at_ms);
  if (!rebinding_.empty()) consider(next_rebind_ms_);
  return next;
}

}  // namespace weir
