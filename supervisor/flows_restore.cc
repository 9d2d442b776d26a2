// Flows, third part: sessions that began under another master, and those that go on under the next.
#include <cerrno>
#include <utility>

#include "common/base/log.h"
#include "supervisor/flow_handover.h"
#include "supervisor/flows.h"
#include "supervisor/udp_sockets.h"

namespace weir {
namespace {

using ipc::FlowEndReason;
using ipc::FlowKind;
using ipc::FlowRecord;
using ipc::FlowState;
using ipc::kNoSlot;

constexpr std::uint64_t kRebindEveryMs = 50;
constexpr std::uint64_t kRebindMs = 3000;  // a killed master's workers leave within this time

constexpr std::size_t index(FlowKind kind) {
  return static_cast<std::size_t>(kind);
}

}  // namespace

bool Flows::take_up(std::uint32_t slot, const FlowRecord& record, std::uint64_t now_ms) {
  if (!book_.take_up(slot, record, now_ms)) return false;
  const ipc::FlowRef flow{slot, record.generation};
  if (record.state == FlowState::kConnected) {
    book_[slot].ownerless_ms = now_ms;
    ownerless_[index(record.kind)].push_back(flow);
  } else {
    signalled_.push_back({now_ms + signal_timeout_ms_, flow});
  }
  return true;
}

void Flows::restore(const ipc::SavedFlows& saved, std::uint64_t now_ms) {
  std::size_t taken = 0;
  for (const ipc::SavedFlow& flow : saved.flows) {
    if (!take_up(flow.slot, flow.record, now_ms)) continue;
    ++taken;
    if (flow.record.state != FlowState::kConnected) continue;
    book_[flow.slot].rebind_until_ms = now_ms + kRebindMs;
    rebinding_.push_back({flow.slot, flow.record.generation});
  }
  if (saved.flows.empty() && saved.bad == 0) return;
  LogLine(LogLevel::kNotice, "sessions of the earlier run taken up")
      .field("sessions", taken)
      .field("left_out", saved.flows.size() - taken + saved.bad);
  rebind(now_ms);
  book_.match_origins(now_ms);
}

// Their ports are free as soon as the last worker of the earlier master has gone.
void Flows::rebind(std::uint64_t now_ms) {
  next_rebind_ms_ = now_ms + kRebindEveryMs;
  for (std::size_t left = rebinding_.size(); left > 0; --left) {
    const ipc::FlowRef flow = rebinding_.front();
    rebinding_.pop_front();
    const std::uint32_t slot = book_.table().find(flow);
    if (slot == kNoSlot) continue;
    const FlowRecord record = book_.table().get(slot);
    auto upstream = open_upstream(record.origin_endpoint, record.upstream_local);
    if (upstream) {
      book_[slot].upstream = std::move(upstream->fd);
      book_[slot].rebind_until_ms = 0;
    } else if (upstream.error().sys_errno == EADDRINUSE && now_ms < book_[slot].rebind_until_ms) {
      rebinding_.push_back(flow);
    } else {
      LogLine(LogLevel::kWarn, "session of the earlier run cannot go on")
          .session(record.session)
          .field("error", upstream.error().text);
      end(slot, FlowEndReason::kPortLost, kNoSlot, now_ms);
    }
  }
  if (adopting_) return;
  for (auto& [page, heir] : workers_) {
    if (heir.slots != 0 && !heir.draining) find_owners(page, heir, now_ms);
  }
}

void Flows::adopt(std::uint32_t slot, const FlowRecord& record, UniqueFd upstream,
                  std::uint64_t now_ms) {
  if (!ipc::plausible(record, now_ms) || !take_up(slot, record, now_ms)) {
    LogLine(LogLevel::kWarn, "session of the old master left out").session(record.session);
    return;
  }
  book_[slot].upstream = std::move(upstream);
  if (record.state == FlowState::kConnected && !book_[slot].upstream) {
    book_[slot].rebind_until_ms = now_ms + kRebindMs;
    rebinding_.push_back({slot, record.generation});
  }
}

void Flows::finish_adoption(std::uint64_t now_ms) {
  if (!std::exchange(adopting_, false)) return;
  LogLine(LogLevel::kNotice, "sessions of the old master taken over")
      .field("sessions", book_.size());
  book_.match_origins(now_ms);
  for (const auto& [page, heir] : workers_) {
    if (heir.slots != 0 && !heir.draining) start_serving(page, now_ms);
  }
  const std::deque<PendingCreate> waiting = std::exchange(pending_creates_, {});
  for (const PendingCreate& each : waiting) create(each.page, each.kind, each.message, now_ms);
}

bool Flows::hand_over(ipc::Channel& to, std::uint32_t& cursor, std::uint64_t now_ms) {
  for (; cursor < book_.limit(); ++cursor) {
    // Over TCP they stay with their workers, which leave when their connections end.
    if (!book_[cursor].live || book_[cursor].transport == ipc::FlowTransport::kTcp) continue;
    FlowHandover message;
    message.slot = cursor;
    message.record = book_.table().get(cursor);
    // The bytes of a trivially copyable struct.
    const ByteView bytes(reinterpret_cast<const std::uint8_t*>(&message), sizeof message);
    switch (to.send(bytes, book_[cursor].upstream.get(), 0)) {
      case ipc::SendStatus::kSent:
        book_[cursor].upstream.reset();  // this master may live on for long
        // It counts at the successor. In the table it stays: that is the file's until then.
        registry_.close_session(Registry::kNoWorker, message.record.group, now_ms);
        break;
      case ipc::SendStatus::kQueued:
      case ipc::SendStatus::kFull:
        return false;
      case ipc::SendStatus::kClosed:
        return true;
    }
  }
  return true;
}

}  // namespace weir
