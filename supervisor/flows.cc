// Flows, first half: what workers may say of sessions, and what is done about it.
#include "supervisor/flows.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "supervisor/udp_sockets.h"

namespace weir {
namespace {

using ipc::FlowEndReason;
using ipc::FlowField;
using ipc::FlowKind;
using ipc::FlowRecord;
using ipc::FlowState;
using ipc::FlowStatus;
using ipc::FlowTransport;
using ipc::kNoSlot;
using ipc::WorkerKind;

// What one worker may ask for in a second: above any honest load, below what would hold up others.
constexpr std::uint64_t kTokensPerSecond = 4096;
constexpr std::uint64_t kTokensAtMost = 8192;
// Claims of one session in a second. A client that hops between addresses uses up its own share and
// not its worker's tokens, which other clients need.
constexpr std::uint32_t kClaimsPerSecond = 32;
// Sessions in the registry belong to no worker.
constexpr std::uint32_t kNoWorker = kNoSlot;

constexpr std::size_t index(FlowKind kind) {
  return static_cast<std::size_t>(kind);
}
constexpr FlowKind kind_of(WorkerKind kind) {
  return kind == WorkerKind::kSrt ? FlowKind::kSrt : FlowKind::kRtc;
}
bool whole(const Endpoint& e) {
  return (e.family == Family::kIpv4 || e.family == Family::kIpv6) && e.port != 0;
}
Endpoint plain(Endpoint e) {
  e.scheme = Scheme::kDefault;
  return e;
}
Endpoint address_of(Endpoint e) {
  e.scheme = Scheme::kDefault;
  e.port = 0;
  return e;
}

std::uint64_t add_bounded(std::uint64_t a, std::uint64_t b) {
  return a + std::min(b, ~a);
}

}  // namespace

Flows::Flows(ipc::FlowWriter table, Registry& registry, Send send)
    : table_(std::move(table)), registry_(registry), send_(std::move(send)) {}

void Flows::apply(const Config& config) {
  signal_timeout_ms_ = config.rtc.signal_timeout;
  idle_timeout_ms_ = {config.rtc.idle_timeout, config.srt.idle_timeout};
  tells_stop_ = !config.hooks.on_stop.empty();
  tells_unpublish_ = !config.hooks.on_unpublish.empty();
}

bool Flows::on_message(std::uint32_t page, WorkerKind kind, ipc::MessageType type, ByteView bytes,
                       std::uint64_t now_ms) {
  const auto take = [&](auto message, auto act) {
    if (!ipc::decode(bytes, message)) return false;
    act(message);
    return true;
  };
  using T = ipc::MessageType;
  if (type == T::kFlowCreate) {
    return take(ipc::FlowCreate{}, [&](const auto& m) { create(page, kind, m, now_ms); });
  }
  if (type == T::kFlowCredentials) {
    return take(ipc::FlowCredentials{},
                [&](const auto& m) { add_credentials(page, kind, m, now_ms); });
  }
  if (type == T::kFlowClaim) {
    return take(ipc::FlowClaim{}, [&](const auto& m) { claim(page, kind, m, now_ms); });
  }
  if (type == T::kFlowStats) {
    return take(ipc::FlowStats{}, [&](const auto& m) { count(page, m, now_ms); });
  }
  return type == T::kFlowEnd &&
         take(ipc::FlowEnd{}, [&](const auto& m) { end_asked(page, kind, m, now_ms); });
}

Flows::Worker& Flows::worker(std::uint32_t page, WorkerKind kind, std::uint64_t now_ms) {
  const auto [found, is_new] = workers_.try_emplace(page);
  if (is_new) {
    found->second.kind = kind;
    found->second.tokens = kTokensAtMost;
    found->second.tokens_ms = now_ms;
  }
  return found->second;
}

bool Flows::take_token(std::uint32_t page, WorkerKind kind, std::uint64_t now_ms) {
  Worker& from = worker(page, kind, now_ms);
  const std::uint64_t earned = (now_ms - from.tokens_ms) * kTokensPerSecond / 1000;
  if (earned > 0) {
    from.tokens = std::min(kTokensAtMost, from.tokens + earned);
    from.tokens_ms = now_ms;
  }
  if (from.tokens == 0) return false;
  --from.tokens;
  return true;
}

bool Flows::take_share(Meta& meta, std::uint64_t now_ms) {
  const std::uint64_t second = now_ms / 1000;
  if (meta.claims_second != second) {
    meta.claims_second = second;
    meta.claims = 0;
  }
  return meta.claims++ < kClaimsPerSecond;
}

void Flows::note_refusal(FlowStatus status) {
  table_.header().refused[static_cast<std::size_t>(status)].fetch_add(1, std::memory_order_relaxed);
}

void Flows::answer_created(std::uint32_t page, std::uint32_t request, FlowStatus status,
                           std::uint32_t slot) {
  ipc::FlowCreated answer;
  answer.header.request = request;
  answer.status = status;
  if (status == FlowStatus::kOk) {
    const FlowRecord record = table_.get(slot);
    answer.flow = {slot, record.generation};
    answer.session = record.session;
    std::memcpy(answer.token, record.token, sizeof answer.token);
  } else {
    note_refusal(status);
  }
  send_(page, ipc::encode(answer), -1);
}

FlowStatus Flows::check_create(std::uint32_t page, WorkerKind kind, const ipc::FlowCreate& m,
                               std::uint64_t now_ms) {
  if (frozen_) return FlowStatus::kStopping;
  if (!take_token(page, kind, now_ms)) return FlowStatus::kBusy;
  if (m.kind != kind_of(kind) || m.session == 0 || !whole(m.origin_endpoint)) {
    return FlowStatus::kInvalid;
  }
  const auto leader = by_session_.find(m.group);
  if (m.group != 0 && (leader == by_session_.end() || metas_[leader->second].creator != page ||
                       metas_[leader->second].kind != m.kind)) {
    return FlowStatus::kInvalid;
  }
  const std::string_view username = m.texts.valid() ? m.texts.get(FlowField::kUsername) : "";
  if (by_session_.count(m.session) != 0 ||
      (!username.empty() && table_.find_username(username) != kNoSlot)) {
    return FlowStatus::kDuplicate;
  }
  return registry_.origins().find(m.origin) != nullptr ? FlowStatus::kOk : FlowStatus::kNoOrigin;
}

// The first of a group counts in its stream; the last one to end takes that back.
FlowStatus Flows::join_stream(const ipc::FlowCreate& m, std::uint64_t now_ms) {
  if (m.group != 0) return FlowStatus::kOk;
  ipc::SessionOpen open;
  open.session = m.session;
  open.origin = m.origin;
  open.protocol = m.kind == FlowKind::kSrt ? ipc::EndpointKind::kSrt : ipc::EndpointKind::kRtc;
  open.role = m.role;
  open.client = m.signaller;
  open.key.assign(m.texts.get(FlowField::kKey));
  const auto over = registry_.open_session(kNoWorker, open, now_ms);
  if (!over) return FlowStatus::kOk;
  registry_.close_session(kNoWorker, m.session, now_ms);
  return over->reason == ipc::SessionEndReason::kStreamLimit ? FlowStatus::kStreamLimit
                                                             : FlowStatus::kAddressLimit;
}

void Flows::create(std::uint32_t page, WorkerKind kind, const ipc::FlowCreate& m,
                   std::uint64_t now_ms) {
  if (adopting_) {
    if (pending_creates_.size() < kTokensAtMost) pending_creates_.push_back({page, kind, m});
    return;
  }
  FlowStatus status = check_create(page, kind, m, now_ms);
  std::uint32_t slot = kNoSlot;
  if (status == FlowStatus::kOk) {
    FlowRecord record;
    record.session = m.session;
    record.group = m.group != 0 ? m.group : m.session;
    record.generation = 1;  // for plausible(); the table gives the real one
    record.kind = m.kind;
    record.state = FlowState::kSignalled;
    record.role = m.role;
    record.origin = m.origin;
    record.origin_endpoint = plain(m.origin_endpoint);
    record.signaller = address_of(m.signaller);
    record.srt_caller_id = m.srt_caller_id;
    record.srt_first_sequence = m.srt_first_sequence;
    record.created_ms = now_ms;
    record.text = m.texts;
    const bool random = ::getrandom(record.token, sizeof record.token, 0) == sizeof record.token;
    // A session that a restart would not believe is not begun either.
    status =
        random && ipc::plausible(record, now_ms) ? join_stream(m, now_ms) : FlowStatus::kInvalid;
    if (status == FlowStatus::kOk) {
      slot = table_.add(record);
      if (slot == kNoSlot) {
        status = FlowStatus::kTableFull;
        if (m.group == 0) registry_.close_session(kNoWorker, m.session, now_ms);
      } else {
        remember(slot, record, now_ms);
        metas_[slot].creator = page;
        table_.header().created[index(m.kind)].fetch_add(1, std::memory_order_relaxed);
      }
    }
  }
  std::uint64_t suppressed = 0;
  if (status != FlowStatus::kOk && refusal_log_.take(now_ms, suppressed)) {
    LogLine(LogLevel::kWarn, "session refused")
        .session(m.session)
        .field("protocol", to_string(kind_of(kind)))
        .field("client", to_string(m.signaller))
        .field("reason", to_string(status))
        .field("suppressed", suppressed);
  }
  answer_created(page, m.header.request, status, slot);
}

// The master's own notes of a session that stands in the table now.
void Flows::remember(std::uint32_t slot, const FlowRecord& record, std::uint64_t now_ms) {
  if (metas_.size() <= slot) metas_.resize(slot + 1);
  Meta& meta = metas_[slot] = Meta{};
  meta.live = true;
  meta.kind = record.kind;
  meta.transport = record.transport;
  by_session_[record.session] = slot;
  groups_[record.group].push_back(slot);
  if (record.state == FlowState::kSignalled) {
    signalled_.push_back({now_ms + signal_timeout_ms_, ref_of(slot)});
  }
}

FlowStatus Flows::check_credentials(std::uint32_t page, WorkerKind kind,
                                    const ipc::FlowCredentials& m, std::uint64_t now_ms) {
  if (frozen_) return FlowStatus::kStopping;
  if (!take_token(page, kind, now_ms)) return FlowStatus::kBusy;
  const std::uint32_t slot = table_.find(m.flow);
  if (slot == kNoSlot) return FlowStatus::kUnknown;
  if (!m.texts.valid() || metas_[slot].kind != FlowKind::kRtc ||
      (!m.origin_endpoint.empty() && !whole(m.origin_endpoint)) ||
      !ipc::valid_credentials(m.texts.get(FlowField::kUsername),
                              m.texts.get(FlowField::kPassword))) {
    return FlowStatus::kInvalid;
  }
  const bool known = table_.find_username(m.texts.get(FlowField::kUsername)) != kNoSlot;
  return known ? FlowStatus::kDuplicate : FlowStatus::kOk;
}

void Flows::add_credentials(std::uint32_t page, WorkerKind kind, const ipc::FlowCredentials& m,
                            std::uint64_t now_ms) {
  const FlowStatus status = check_credentials(page, kind, m, now_ms);
  const std::uint32_t slot = table_.find(m.flow);
  if (status != FlowStatus::kOk) return answer_created(page, m.header.request, status, slot);
  FlowRecord record = table_.get(slot);
  if (!record.get(FlowField::kSecondUsername).empty()) {
    // The newer pair stays, in the first place.
    const std::string kept_username(record.get(FlowField::kSecondUsername));
    const std::string kept_password(record.get(FlowField::kSecondPassword));
    record.text.set(FlowField::kSecondUsername, "");
    record.text.set(FlowField::kSecondPassword, "");
    record.text.set(FlowField::kUsername, kept_username);
    record.text.set(FlowField::kPassword, kept_password);
  }
  if (!record.text.set(FlowField::kSecondUsername, m.texts.get(FlowField::kUsername)) ||
      !record.text.set(FlowField::kSecondPassword, m.texts.get(FlowField::kPassword))) {
    return answer_created(page, m.header.request, FlowStatus::kTooLong, slot);
  }
  if (!redirect(slot, record, m.origin_endpoint)) {
    return answer_created(page, m.header.request, FlowStatus::kUnreachable, slot);
  }
  table_.put(slot, record);
  LogLine(LogLevel::kInfo, "session has new credentials")
      .session(record.session)
      .field("origin", to_string(record.origin_endpoint));
  answer_created(page, m.header.request, FlowStatus::kOk, slot);
}

// The origin takes the media elsewhere after an ICE restart. Its owner has the same socket.
bool Flows::redirect(std::uint32_t slot, FlowRecord& record, const Endpoint& to) {
  if (to.empty() || ipc::same_endpoint(record.origin_endpoint, to)) return true;
  if (const UniqueFd& upstream = metas_[slot].upstream; upstream) {
    const auto local = redirect_upstream(upstream.get(), to);
    if (!local) return false;
    record.upstream_local = *local;
  }
  record.origin_endpoint = plain(to);
  return true;
}

FlowStatus Flows::check_claim(std::uint32_t page, WorkerKind kind, const ipc::FlowClaim& m,
                              std::uint64_t now_ms) {
  if (frozen_) return FlowStatus::kStopping;
  const std::uint32_t slot = table_.find(m.flow);
  if (slot != kNoSlot && !take_share(metas_[slot], now_ms)) return FlowStatus::kBusy;
  if (!take_token(page, kind, now_ms)) return FlowStatus::kBusy;
  if (slot == kNoSlot) return FlowStatus::kUnknown;
  const bool tcp = m.transport == FlowTransport::kTcp;
  if (metas_[slot].kind != kind_of(kind) || !whole(m.client) || !whole(m.local) ||
      m.client.family != m.local.family || (!tcp && m.transport != FlowTransport::kUdp)) {
    return FlowStatus::kInvalid;
  }
  // Only what is reached by UDP can change its worker and keep its client.
  const bool keep = m.keep_client != 0;
  if (keep && (metas_[slot].transport != FlowTransport::kUdp || kind != WorkerKind::kRtc ||
               table_.get(slot).state != FlowState::kConnected)) {
    return FlowStatus::kInvalid;
  }
  const Worker& by = worker(page, kind, now_ms);
  if (by.slots == 0 || (by.draining && (keep || !tcp))) return FlowStatus::kStopping;
  if (metas_[slot].rebind_until_ms != 0) return FlowStatus::kBusy;
  return metas_[slot].upstream ? FlowStatus::kOk : open_socket(slot, now_ms);
}

FlowStatus Flows::open_socket(std::uint32_t slot, std::uint64_t now_ms) {
  FlowRecord record = table_.get(slot);
  auto upstream = open_upstream(record.origin_endpoint);
  if (!upstream) {
    const int error = upstream.error().sys_errno;
    std::uint64_t suppressed = 0;
    if (refusal_log_.take(now_ms, suppressed)) {
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

void Flows::refuse_assign(std::uint32_t page, std::uint32_t request, ipc::FlowRef flow,
                          FlowStatus status) {
  ipc::FlowAssign answer;
  answer.header.request = request;
  answer.status = status;
  answer.flow = flow;
  note_refusal(status);
  send_(page, ipc::encode(answer), -1);
}

// An address belongs to the session that proved it last: an old one is never reached through it.
void Flows::take_address(std::uint32_t slot, const FlowRecord& record) {
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

void Flows::claim(std::uint32_t page, WorkerKind kind, const ipc::FlowClaim& m,
                  std::uint64_t now_ms) {
  if (const FlowStatus status = check_claim(page, kind, m, now_ms); status != FlowStatus::kOk) {
    return refuse_assign(page, m.header.request, m.flow, status);
  }
  const std::uint32_t slot = m.flow.slot;
  // What was sent may not have arrived: a process without a free descriptor gets a message alone.
  if (m.has_socket == 0) metas_[slot].delivered = false;
  if (m.keep_client == 0) note_client(slot, m, now_ms);
  set_owner(slot, page, m.header.request);
}

// Where the client is from now on.
void Flows::note_client(std::uint32_t slot, const ipc::FlowClaim& m, std::uint64_t now_ms) {
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
      .field("client", to_string(record.client))
      .field("before", first || from.empty() ? std::string() : to_string(from))
      .field("upstream", to_string(record.upstream_local))
      .field("origin", to_string(record.origin_endpoint))
      .field("suppressed", suppressed);
}

void Flows::count(std::uint32_t page, const ipc::FlowStats& stats, std::uint64_t now_ms) {
  if (frozen_) return;
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

bool Flows::may_end(std::uint32_t page, WorkerKind kind, const Meta& meta,
                    FlowEndReason reason) const {
  switch (reason) {
    case FlowEndReason::kKicked:
      return kind == WorkerKind::kControl;
    case FlowEndReason::kDeleted:
      return kind == WorkerKind::kHttp && meta.kind == FlowKind::kRtc;
    case FlowEndReason::kIdle:
    case FlowEndReason::kClosed:
    case FlowEndReason::kRefused:
    case FlowEndReason::kOriginGone:
      // An SRT session that reached no origin ends before anybody has claimed it.
      return kind != WorkerKind::kControl && meta.kind == kind_of(kind) &&
             (meta.owner == page || (meta.owner == kNoSlot && meta.creator == page));
    case FlowEndReason::kMoved:
    case FlowEndReason::kSignalTimeout:
    case FlowEndReason::kPortLost:
    case FlowEndReason::kStopped:
      return false;
  }
  return false;
}

void Flows::end_asked(std::uint32_t page, WorkerKind kind, const ipc::FlowEnd& m,
                      std::uint64_t now_ms) {
  const std::uint32_t slot = table_.find(m.flow);
  if (frozen_ || slot == kNoSlot || !may_end(page, kind, metas_[slot], m.reason)) return;
  const bool all = m.reason == FlowEndReason::kKicked || m.reason == FlowEndReason::kDeleted ||
                   m.reason == FlowEndReason::kRefused;
  if (all) {
    end_group(slot, m.reason, page, now_ms);
  } else {
    end(slot, m.reason, page, now_ms);
  }
}

void Flows::end_group(std::uint32_t slot, FlowEndReason reason, std::uint32_t asked_by,
                      std::uint64_t now_ms) {
  const std::vector<std::uint32_t> all = groups_[table_.get(slot).group];
  for (const std::uint32_t each : all) end(each, reason, each == slot ? asked_by : kNoSlot, now_ms);
}

// Who asked needs no word of it.
void Flows::end(std::uint32_t slot, FlowEndReason reason, std::uint32_t asked_by,
                std::uint64_t now_ms) {
  const FlowRecord record = table_.get(slot);
  LogLine(LogLevel::kInfo, "session ended")
      .session(record.session)
      .field("protocol", to_string(record.kind))
      .field("stream", record.get(FlowField::kKey))
      .field("role", to_string(record.role))
      .field("client", to_string(record.client.empty() ? record.signaller : record.client))
      .field("origin", to_string(record.origin_endpoint))
      .field("reason", to_string(reason))
      .field("age_ms", now_ms - record.created_ms)
      .field("packets_from_client", record.counters.packets_from_client)
      .field("packets_to_client", record.counters.packets_to_client)
      .field("drops", record.counters.drops);
  const std::uint32_t owner = metas_[slot].owner;
  if (owner != kNoSlot && owner != asked_by) {
    ipc::FlowRelease release;
    release.flow = {slot, record.generation};
    release.session = record.session;
    release.reason = reason;
    send_(owner, ipc::encode(release), -1);
  }
  metas_[slot] = Meta{};
  table_.erase(slot);
  by_session_.erase(record.session);
  const auto group = groups_.find(record.group);
  if (group != groups_.end()) {
    std::erase(group->second, slot);
    if (group->second.empty()) {
      groups_.erase(group);
      registry_.close_session(kNoWorker, record.group, now_ms);
      note_end(record, reason);
      note_abandoned(record, reason);
      send_ends();
    }
  }
  table_.header().ended[index(record.kind)].fetch_add(1, std::memory_order_relaxed);
}

}  // namespace weir
