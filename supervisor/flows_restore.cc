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
using ipc::FlowField;
using ipc::FlowKind;
using ipc::FlowRecord;
using ipc::FlowState;
using ipc::kNoSlot;

constexpr std::uint64_t kRebindEveryMs = 50;
constexpr std::uint64_t kRebindMs = 3000;  // a killed master's workers leave within this time
constexpr std::size_t kMatchesAtOnce = 256;
constexpr std::uint32_t kNoWorker = kNoSlot;

constexpr std::size_t index(FlowKind kind) {
  return static_cast<std::size_t>(kind);
}
constexpr ipc::EndpointKind endpoint_kind(FlowKind kind) {
  return kind == FlowKind::kSrt ? ipc::EndpointKind::kSrt : ipc::EndpointKind::kRtc;
}

}  // namespace

// Puts a session of another master into the table, in the same slot, so that references to it in
// URLs stay good. What the records only together show is checked here.
bool Flows::take_up(std::uint32_t slot, FlowRecord record, std::uint64_t now_ms) {
  if (by_session_.count(record.session) != 0) return false;
  for (const FlowField field : {FlowField::kUsername, FlowField::kSecondUsername}) {
    const std::string_view username = record.get(field);
    if (!username.empty() && table_.find_username(username) != kNoSlot) return false;
  }
  record.owner = kNoSlot;
  record.origin = {};
  if (record.transport == ipc::FlowTransport::kTcp) {
    // Its connection has gone with its worker; the client may come back.
    record.client = record.local = {};
  }
  if (!record.client.empty()) {
    const bool srt = record.kind == FlowKind::kSrt;
    if (table_.find_client(record.client, srt ? record.srt_listener_id : 0, 0) != kNoSlot ||
        (srt && table_.find_client(record.client, record.srt_caller_id, 1) != kNoSlot)) {
      return false;
    }
  }
  if (!table_.restore(slot, record)) return false;
  remember(slot, record, now_ms);
  count_session(record, now_ms);
  unmatched_.push_back({slot, record.generation});
  if (record.state == FlowState::kConnected) {
    metas_[slot].ownerless_ms = now_ms;
    ownerless_[index(record.kind)].push_back({slot, record.generation});
  }
  table_.header().restored[index(record.kind)].fetch_add(1, std::memory_order_relaxed);
  return true;
}

void Flows::restore(const ipc::SavedFlows& saved, std::uint64_t now_ms) {
  std::size_t taken = 0;
  for (const ipc::SavedFlow& flow : saved.flows) {
    if (!take_up(flow.slot, flow.record, now_ms)) continue;
    ++taken;
    if (flow.record.state != FlowState::kConnected) continue;
    metas_[flow.slot].rebind_until_ms = now_ms + kRebindMs;
    rebinding_.push_back({flow.slot, flow.record.generation});
  }
  if (saved.flows.empty() && saved.bad == 0) return;
  LogLine(LogLevel::kNotice, "sessions of the earlier run taken up")
      .field("sessions", taken)
      .field("left_out", saved.flows.size() - taken + saved.bad);
  rebind(now_ms);
  match_origins(now_ms);
}

// Their ports are free as soon as the last worker of the earlier master has gone.
void Flows::rebind(std::uint64_t now_ms) {
  next_rebind_ms_ = now_ms + kRebindEveryMs;
  for (std::size_t left = rebinding_.size(); left > 0; --left) {
    const ipc::FlowRef flow = rebinding_.front();
    rebinding_.pop_front();
    const std::uint32_t slot = table_.find(flow);
    if (slot == kNoSlot) continue;
    const FlowRecord record = table_.get(slot);
    auto upstream = open_upstream(record.origin_endpoint, record.upstream_local);
    if (upstream) {
      metas_[slot].upstream = std::move(upstream->fd);
      metas_[slot].rebind_until_ms = 0;
    } else if (upstream.error().sys_errno == EADDRINUSE && now_ms < metas_[slot].rebind_until_ms) {
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

// The references of the earlier master's origins mean nothing here. They come back by the
// configuration at once, or by their next heartbeat; media does not wait for that.
void Flows::match_origins(std::uint64_t now_ms) {
  for (std::size_t left = std::min(unmatched_.size(), kMatchesAtOnce); left > 0; --left) {
    const ipc::FlowRef flow = unmatched_.front();
    unmatched_.pop_front();
    const std::uint32_t slot = table_.find(flow);
    if (slot == kNoSlot) continue;
    FlowRecord record = table_.get(slot);
    ipc::OriginRef origin =
        registry_.origins().find_endpoint(endpoint_kind(record.kind), record.origin_endpoint);
    // Its media may have come to a port that only its answer named.
    if (origin.slot == kNoSlot) {
      origin = registry_.origins().find_host(endpoint_kind(record.kind), record.origin_endpoint);
    }
    if (origin.slot == kNoSlot) {
      unmatched_.push_back(flow);
      continue;
    }
    record.origin = origin;
    table_.put(slot, record);
    registry_.close_session(kNoWorker, record.group, now_ms);  // it counted without its origin
    count_session(record, now_ms);
  }
}

// Among all sessions, and with its stream and origin if that is known. Once a group.
void Flows::count_session(const FlowRecord& record, std::uint64_t now_ms) {
  ipc::SessionOpen open;
  open.session = record.group;
  open.origin = record.origin;
  open.protocol = endpoint_kind(record.kind);
  open.role = record.role;
  open.client = record.signaller;
  open.key.assign(record.get(FlowField::kKey));
  registry_.open_session(kNoWorker, open, now_ms);
}

void Flows::adopt(std::uint32_t slot, const FlowRecord& record, UniqueFd upstream,
                  std::uint64_t now_ms) {
  if (!ipc::plausible(record, now_ms) || !take_up(slot, record, now_ms)) {
    LogLine(LogLevel::kWarn, "session of the old master left out").session(record.session);
    return;
  }
  metas_[slot].upstream = std::move(upstream);
  if (record.state == FlowState::kConnected && !metas_[slot].upstream) {
    metas_[slot].rebind_until_ms = now_ms + kRebindMs;
    rebinding_.push_back({slot, record.generation});
  }
}

void Flows::finish_adoption(std::uint64_t now_ms) {
  if (!std::exchange(adopting_, false)) return;
  LogLine(LogLevel::kNotice, "sessions of the old master taken over")
      .field("sessions", by_session_.size());
  match_origins(now_ms);
  for (const auto& [page, heir] : workers_) {
    if (heir.slots != 0 && !heir.draining) start_serving(page, now_ms);
  }
  const std::deque<PendingCreate> waiting = std::exchange(pending_creates_, {});
  for (const PendingCreate& each : waiting) create(each.page, each.kind, each.message, now_ms);
}

bool Flows::hand_over(ipc::Channel& to, std::uint32_t& cursor) {
  for (; cursor < metas_.size(); ++cursor) {
    // Over TCP they stay with their workers, which leave when their connections end.
    if (!metas_[cursor].live || metas_[cursor].transport == ipc::FlowTransport::kTcp) continue;
    FlowHandover message;
    message.slot = cursor;
    message.record = table_.get(cursor);
    // The bytes of a trivially copyable struct.
    const ByteView bytes(reinterpret_cast<const std::uint8_t*>(&message), sizeof message);
    switch (to.send(bytes, metas_[cursor].upstream.get(), 0)) {
      case ipc::SendStatus::kSent:
        metas_[cursor].upstream.reset();  // this master may live on for long
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
