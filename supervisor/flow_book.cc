#include "supervisor/flow_book.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/log.h"
#include "supervisor/udp_sockets.h"

namespace weir {
namespace {

using ipc::FlowField;
using ipc::FlowKind;
using ipc::FlowRecord;
using ipc::FlowState;
using ipc::FlowStatus;
using ipc::kNoSlot;

// Claims of one session in a second. A client that hops between addresses uses up its own share and
// not its worker's tokens, which other clients need.
constexpr std::uint32_t kClaimsPerSecond = 32;
constexpr std::size_t kMatchesAtOnce = 256;
constexpr std::uint32_t kNoWorker = Registry::kNoWorker;

constexpr std::size_t index(FlowKind kind) {
  return static_cast<std::size_t>(kind);
}
constexpr ipc::EndpointKind endpoint_kind(FlowKind kind) {
  return kind == FlowKind::kSrt ? ipc::EndpointKind::kSrt : ipc::EndpointKind::kRtc;
}
std::uint64_t add_bounded(std::uint64_t a, std::uint64_t b) {
  return a + std::min(b, ~a);
}

}  // namespace

// ---- which there are

std::uint32_t FlowBook::find(SessionId session) const {
  const auto found = by_session_.find(session);
  return found == by_session_.end() ? kNoSlot : found->second;
}

std::vector<std::uint32_t> FlowBook::group_of(std::uint32_t slot) const {
  const auto found = groups_.find(table_.get(slot).group);
  return found == groups_.end() ? std::vector<std::uint32_t>{} : found->second;
}

FlowStatus FlowBook::add(const FlowRecord& record, bool leads, std::uint64_t now_ms,
                         std::uint32_t& slot) {
  if (leads) {
    if (const FlowStatus status = join_stream(record, now_ms); status != FlowStatus::kOk) {
      return status;
    }
  }
  slot = table_.add(record);
  if (slot == kNoSlot) {
    if (leads) registry_.close_session(kNoWorker, record.session, now_ms);
    return FlowStatus::kTableFull;
  }
  remember(slot, record);
  table_.header().created[index(record.kind)].fetch_add(1, std::memory_order_relaxed);
  return FlowStatus::kOk;
}

void FlowBook::remember(std::uint32_t slot, const FlowRecord& record) {
  if (metas_.size() <= slot) metas_.resize(slot + 1);
  Meta& meta = metas_[slot] = Meta{};
  meta.live = true;
  meta.kind = record.kind;
  meta.transport = record.transport;
  by_session_[record.session] = slot;
  groups_[record.group].push_back(slot);
}

// The first of a group counts in its stream; the last one to end takes that back.
FlowStatus FlowBook::join_stream(const FlowRecord& record, std::uint64_t now_ms) {
  const auto over = count_session(record, now_ms);
  if (!over) return FlowStatus::kOk;
  registry_.close_session(kNoWorker, record.group, now_ms);
  return over->reason == ipc::SessionEndReason::kStreamLimit ? FlowStatus::kStreamLimit
                                                             : FlowStatus::kAddressLimit;
}

// Among all sessions, and with its stream and origin if that is known. Once a group.
std::optional<ipc::SessionEnd> FlowBook::count_session(const FlowRecord& record,
                                                       std::uint64_t now_ms) {
  ipc::SessionOpen open;
  open.session = record.group;
  open.origin = record.origin;
  open.protocol = endpoint_kind(record.kind);
  open.role = record.role;
  open.client = record.signaller;
  open.key.assign(record.get(FlowField::kKey));
  return registry_.open_session(kNoWorker, open, now_ms);
}

bool FlowBook::erase(std::uint32_t slot, std::uint64_t now_ms) {
  const FlowRecord record = table_.get(slot);
  metas_[slot] = Meta{};
  table_.erase(slot);
  by_session_.erase(record.session);
  table_.header().ended[index(record.kind)].fetch_add(1, std::memory_order_relaxed);
  const auto group = groups_.find(record.group);
  if (group == groups_.end()) return false;
  std::erase(group->second, slot);
  if (!group->second.empty()) return false;
  groups_.erase(group);
  registry_.close_session(kNoWorker, record.group, now_ms);
  return true;
}

// What the records only together show is checked here.
bool FlowBook::take_up(std::uint32_t slot, FlowRecord record, std::uint64_t now_ms) {
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
  remember(slot, record);
  count_session(record, now_ms);
  unmatched_.push_back({slot, record.generation});
  table_.header().restored[index(record.kind)].fetch_add(1, std::memory_order_relaxed);
  return true;
}

// The references of the earlier master's origins mean nothing here. They come back by the
// configuration at once, or by their next heartbeat; media does not wait for that.
void FlowBook::match_origins(std::uint64_t now_ms) {
  for (std::size_t left = std::min(unmatched_.size(), kMatchesAtOnce); left > 0; --left) {
    const ipc::FlowRef flow = unmatched_.front();
    unmatched_.pop_front();
    const std::uint32_t slot = table_.find(flow);
    if (slot == kNoSlot) continue;
    FlowRecord record = table_.get(slot);
    ipc::OriginRef origin =
        find_endpoint(registry_.origins(), endpoint_kind(record.kind), record.origin_endpoint);
    // Its media may have come to a port that only its answer named.
    if (origin.slot == kNoSlot) {
      origin = find_host(registry_.origins(), endpoint_kind(record.kind), record.origin_endpoint);
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

// ---- what becomes of one

FlowStatus FlowBook::open_socket(std::uint32_t slot, std::uint64_t now_ms) {
  FlowRecord record = table_.get(slot);
  auto upstream = open_upstream(record.origin_endpoint);
  if (!upstream) {
    const int error = upstream.error().sys_errno;
    std::uint64_t suppressed = 0;
    if (shortage_log_.take(now_ms, suppressed)) {
      LogLine(LogLevel::kError, "no socket for a session")
          .session(record.session)
          .field("stream", record.get(FlowField::kKey))
          .field("error", upstream.error().text)
          .field("suppressed", suppressed);
    }
    const bool scarce = error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
                        error == EAGAIN || error == EADDRNOTAVAIL;
    return scarce ? FlowStatus::kNoDescriptors : FlowStatus::kUnreachable;
  }
  metas_[slot].upstream = std::move(upstream->fd);
  record.upstream_local = upstream->local;
  table_.put(slot, record);
  return FlowStatus::kOk;
}

bool FlowBook::redirect(std::uint32_t slot, FlowRecord& record, const Endpoint& to) {
  if (to.empty() || ipc::same_endpoint(record.origin_endpoint, to)) return true;
  if (const UniqueFd& upstream = metas_[slot].upstream; upstream) {
    const auto local = redirect_upstream(upstream.get(), to);
    if (!local) return false;
    record.upstream_local = *local;
  }
  record.origin_endpoint = plain(to);
  return true;
}

void FlowBook::note_client(std::uint32_t slot, const ipc::FlowClaim& m, std::uint64_t now_ms) {
  FlowRecord record = table_.get(slot);
  const bool first = record.state == FlowState::kSignalled;
  const bool moved = !first && !ipc::same_endpoint(record.client, m.client);
  const Endpoint from = record.client;
  record.state = FlowState::kConnected;
  record.client = plain(m.client);
  record.local = plain(m.local);
  record.transport = metas_[slot].transport = m.transport;
  if (m.srt_caller_id != 0) record.srt_caller_id = m.srt_caller_id;
  if (m.srt_listener_id != 0) record.srt_listener_id = m.srt_listener_id;
  record.activity_ms = record.stun_ms = now_ms;
  take_address(slot, record);
  table_.put(slot, record);
  if (!first && !moved) return;
  table_.header().claims[index(record.kind)].fetch_add(1, std::memory_order_relaxed);
  std::uint64_t suppressed = 0;
  if (!first && !move_log_.take(now_ms, suppressed)) return;
  LogLine(LogLevel::kInfo, first ? "session connected" : "client has a new address")
      .session(record.session)
      .field("stream", record.get(FlowField::kKey))
      .field("client", record.client)
      .field("before", first || from.empty() ? std::string() : to_string(from))
      .field("upstream", record.upstream_local)
      .field("origin", record.origin_endpoint)
      .field("suppressed", suppressed);
}

// An address belongs to the session that proved it last: an old one is never reached through it.
void FlowBook::take_address(std::uint32_t slot, const FlowRecord& record) {
  const bool srt = record.kind == FlowKind::kSrt;
  const std::uint32_t ids[] = {srt ? record.srt_listener_id : 0, srt ? record.srt_caller_id : 0};
  for (std::uint32_t which = 0; which < (srt ? 2U : 1U); ++which) {
    if (srt && ids[which] == 0) continue;
    const std::uint32_t other = table_.find_client(record.client, ids[which], which);
    if (other == kNoSlot || other == slot) continue;
    FlowRecord loser = table_.get(other);
    loser.client = {};
    loser.local = {};
    table_.put(other, loser);
  }
}

void FlowBook::count(std::uint32_t page, const ipc::FlowStats& stats, std::uint64_t now_ms) {
  for (std::uint64_t i = 0; i < stats.row_count; ++i) {
    const ipc::FlowStatsRow& row = stats.rows[i];
    const std::uint32_t slot = table_.find(row.flow);
    if (slot == kNoSlot) continue;
    if (metas_[slot].owner != page && metas_[slot].last_owner != page) continue;
    FlowRecord record = table_.get(slot);
    ipc::FlowCounters& sum = record.counters;
    sum.packets_from_client = add_bounded(sum.packets_from_client, row.since.packets_from_client);
    sum.bytes_from_client = add_bounded(sum.bytes_from_client, row.since.bytes_from_client);
    sum.packets_to_client = add_bounded(sum.packets_to_client, row.since.packets_to_client);
    sum.bytes_to_client = add_bounded(sum.bytes_to_client, row.since.bytes_to_client);
    sum.drops = add_bounded(sum.drops, row.since.drops);
    sum.lost_from_client = add_bounded(sum.lost_from_client, row.since.lost_from_client);
    sum.lost_to_client = add_bounded(sum.lost_to_client, row.since.lost_to_client);
    if (row.srt_rtt_us != 0) {
      record.srt_rtt_us = row.srt_rtt_us;
      record.srt_rtt_variance_us = row.srt_rtt_variance_us;
    }
    record.activity_ms = std::max(record.activity_ms, std::min(row.activity_ms, now_ms));
    record.stun_ms = std::max(record.stun_ms, std::min(row.stun_ms, now_ms));
    table_.put(slot, record);
  }
}

bool FlowBook::take_share(std::uint32_t slot, std::uint64_t now_ms) {
  Meta& meta = metas_[slot];
  const std::uint64_t second = now_ms / 1000;
  if (meta.claims_second != second) {
    meta.claims_second = second;
    meta.claims = 0;
  }
  return meta.claims++ < kClaimsPerSecond;
}

void FlowBook::note_refusal(FlowStatus status) {
  table_.header().refused[static_cast<std::size_t>(status)].fetch_add(1, std::memory_order_relaxed);
}

}  // namespace weir
