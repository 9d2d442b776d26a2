// Flows, first half: what workers may say of sessions, and what is done about it.
#include "supervisor/flows.h"

#include <sys/random.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"

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

constexpr FlowKind kind_of(WorkerKind kind) {
  return kind == WorkerKind::kSrt ? FlowKind::kSrt : FlowKind::kRtc;
}
bool whole(const Endpoint& e) {
  return e.is_numeric() && e.port != 0;
}
Endpoint address_of(Endpoint e) {
  e = plain(e);
  e.port = 0;
  return e;
}

// Whether the worker may end this session for this reason.
bool may_end(std::uint32_t page, WorkerKind kind, const FlowBook::Meta& meta,
             FlowEndReason reason) {
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
    case FlowEndReason::kStreamMoved:
      return false;
  }
  return false;
}

// Whether the worker may send another message.
template <typename Worker>
bool take_token(Worker& from, std::uint64_t now_ms) {
  const std::uint64_t earned = (now_ms - from.tokens_ms) * kTokensPerSecond / 1000;
  if (earned > 0) {
    from.tokens = std::min(kTokensAtMost, from.tokens + earned);
    from.tokens_ms = now_ms;
  }
  if (from.tokens == 0) return false;
  --from.tokens;
  return true;
}

}  // namespace

Flows::Flows(ipc::FlowWriter table, Registry& registry, Send send)
    : book_(std::move(table), registry),
      registry_(registry),
      send_(send),
      notices_(std::move(send)) {}

void Flows::apply(const Config& config) {
  signal_timeout_ms_ = config.rtc.signal_timeout;
  idle_timeout_ms_ = {config.rtc.idle_timeout, config.srt.idle_timeout};
  notices_.apply(config);
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
    return take(ipc::FlowStats{}, [&](const auto& m) {
      if (!frozen_) book_.count(page, m, now_ms);
    });
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

void Flows::answer_created(std::uint32_t page, std::uint32_t request, FlowStatus status,
                           std::uint32_t slot) {
  ipc::FlowCreated answer;
  answer.header.request = request;
  answer.status = status;
  if (status == FlowStatus::kOk) {
    const FlowRecord record = book_.table().get(slot);
    answer.flow = {slot, record.generation};
    answer.session = record.session;
    std::memcpy(answer.token, record.token, sizeof answer.token);
  } else {
    book_.note_refusal(status);
  }
  send_(page, ipc::encode(answer), -1);
}

FlowStatus Flows::check_create(std::uint32_t page, WorkerKind kind, const ipc::FlowCreate& m,
                               std::uint64_t now_ms) {
  if (frozen_) return FlowStatus::kStopping;
  if (!take_token(worker(page, kind, now_ms), now_ms)) return FlowStatus::kBusy;
  if (m.kind != kind_of(kind) || m.session == 0 || !whole(m.origin_endpoint)) {
    return FlowStatus::kInvalid;
  }
  const std::uint32_t leader = m.group != 0 ? book_.find(m.group) : kNoSlot;
  if (m.group != 0 &&
      (leader == kNoSlot || book_[leader].creator != page || book_[leader].kind != m.kind)) {
    return FlowStatus::kInvalid;
  }
  const std::string_view username = m.texts.valid() ? m.texts.get(FlowField::kUsername) : "";
  if (book_.find(m.session) != kNoSlot ||
      (!username.empty() && book_.table().find_username(username) != kNoSlot)) {
    return FlowStatus::kDuplicate;
  }
  return registry_.origins().find(m.origin) != nullptr ? FlowStatus::kOk : FlowStatus::kNoOrigin;
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
    status = random && ipc::plausible(record, now_ms)
                 ? book_.add(record, m.group == 0, now_ms, slot)
                 : FlowStatus::kInvalid;
    if (status == FlowStatus::kOk) {
      book_[slot].creator = page;
      signalled_.push_back({now_ms + signal_timeout_ms_, book_.ref_of(slot)});
    }
  }
  std::uint64_t suppressed = 0;
  if (status != FlowStatus::kOk && refusal_log_.take(now_ms, suppressed)) {
    LogLine(LogLevel::kWarn, "session refused")
        .session(m.session)
        .field("protocol", to_string(kind_of(kind)))
        .field("client", m.signaller)
        .field("reason", to_string(status))
        .field("suppressed", suppressed);
  }
  answer_created(page, m.header.request, status, slot);
}

FlowStatus Flows::check_credentials(std::uint32_t page, WorkerKind kind,
                                    const ipc::FlowCredentials& m, std::uint64_t now_ms) {
  if (frozen_) return FlowStatus::kStopping;
  if (!take_token(worker(page, kind, now_ms), now_ms)) return FlowStatus::kBusy;
  const std::uint32_t slot = book_.table().find(m.flow);
  if (slot == kNoSlot) return FlowStatus::kUnknown;
  if (!m.texts.valid() || book_[slot].kind != FlowKind::kRtc ||
      (!m.origin_endpoint.empty() && !whole(m.origin_endpoint)) ||
      !ipc::valid_credentials(m.texts.get(FlowField::kUsername),
                              m.texts.get(FlowField::kPassword))) {
    return FlowStatus::kInvalid;
  }
  const bool known = book_.table().find_username(m.texts.get(FlowField::kUsername)) != kNoSlot;
  return known ? FlowStatus::kDuplicate : FlowStatus::kOk;
}

void Flows::add_credentials(std::uint32_t page, WorkerKind kind, const ipc::FlowCredentials& m,
                            std::uint64_t now_ms) {
  const FlowStatus status = check_credentials(page, kind, m, now_ms);
  const std::uint32_t slot = book_.table().find(m.flow);
  if (status != FlowStatus::kOk) return answer_created(page, m.header.request, status, slot);
  FlowRecord record = book_.table().get(slot);
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
  if (!book_.redirect(slot, record, m.origin_endpoint)) {
    return answer_created(page, m.header.request, FlowStatus::kUnreachable, slot);
  }
  book_.table().put(slot, record);
  LogLine(LogLevel::kInfo, "session has new credentials")
      .session(record.session)
      .field("origin", record.origin_endpoint);
  answer_created(page, m.header.request, FlowStatus::kOk, slot);
}

FlowStatus Flows::check_claim(std::uint32_t page, WorkerKind kind, const ipc::FlowClaim& m,
                              std::uint64_t now_ms) {
  if (frozen_) return FlowStatus::kStopping;
  const std::uint32_t slot = book_.table().find(m.flow);
  if (slot != kNoSlot && !book_.take_share(slot, now_ms)) return FlowStatus::kBusy;
  if (!take_token(worker(page, kind, now_ms), now_ms)) return FlowStatus::kBusy;
  if (slot == kNoSlot) return FlowStatus::kUnknown;
  const bool tcp = m.transport == FlowTransport::kTcp;
  if (book_[slot].kind != kind_of(kind) || !whole(m.client) || !whole(m.local) ||
      m.client.family != m.local.family || (!tcp && m.transport != FlowTransport::kUdp)) {
    return FlowStatus::kInvalid;
  }
  // Only what is reached by UDP can change its worker and keep its client.
  const bool keep = m.keep_client != 0;
  if (keep && (book_[slot].transport != FlowTransport::kUdp || kind != WorkerKind::kRtc ||
               book_.table().get(slot).state != FlowState::kConnected)) {
    return FlowStatus::kInvalid;
  }
  const Worker& by = worker(page, kind, now_ms);
  if (by.slots == 0 || (by.draining && (keep || !tcp))) return FlowStatus::kStopping;
  if (book_[slot].rebind_until_ms != 0) return FlowStatus::kBusy;
  return book_[slot].upstream ? FlowStatus::kOk : book_.open_socket(slot, now_ms);
}

void Flows::refuse_assign(std::uint32_t page, std::uint32_t request, ipc::FlowRef flow,
                          FlowStatus status) {
  ipc::FlowAssign answer;
  answer.header.request = request;
  answer.status = status;
  answer.flow = flow;
  book_.note_refusal(status);
  send_(page, ipc::encode(answer), -1);
}

void Flows::claim(std::uint32_t page, WorkerKind kind, const ipc::FlowClaim& m,
                  std::uint64_t now_ms) {
  if (const FlowStatus status = check_claim(page, kind, m, now_ms); status != FlowStatus::kOk) {
    return refuse_assign(page, m.header.request, m.flow, status);
  }
  const std::uint32_t slot = m.flow.slot;
  // What was sent may not have arrived: a process without a free descriptor gets a message alone.
  if (m.has_socket == 0) book_[slot].delivered = false;
  if (m.keep_client == 0) book_.note_client(slot, m, now_ms);
  set_owner(slot, page, m.header.request);
}

void Flows::end_asked(std::uint32_t page, WorkerKind kind, const ipc::FlowEnd& m,
                      std::uint64_t now_ms) {
  const std::uint32_t slot = book_.table().find(m.flow);
  if (frozen_ || slot == kNoSlot || !may_end(page, kind, book_[slot], m.reason)) return;
  const bool all = m.reason == FlowEndReason::kKicked || m.reason == FlowEndReason::kDeleted ||
                   m.reason == FlowEndReason::kRefused;
  if (all) {
    end_group(slot, m.reason, page, now_ms);
  } else {
    end(slot, m.reason, page, now_ms);
  }
}

void Flows::end_session(SessionId session, FlowEndReason reason, std::uint64_t now_ms) {
  const std::uint32_t slot = book_.find(session);
  if (!frozen_ && slot != kNoSlot) end_group(slot, reason, kNoSlot, now_ms);
}

void Flows::end_group(std::uint32_t slot, FlowEndReason reason, std::uint32_t asked_by,
                      std::uint64_t now_ms) {
  for (const std::uint32_t each : book_.group_of(slot)) {
    end(each, reason, each == slot ? asked_by : kNoSlot, now_ms);
  }
}

// Who asked needs no word of it.
void Flows::end(std::uint32_t slot, FlowEndReason reason, std::uint32_t asked_by,
                std::uint64_t now_ms) {
  const FlowRecord record = book_.table().get(slot);
  LogLine(LogLevel::kInfo, "session ended")
      .session(record.session)
      .field("protocol", to_string(record.kind))
      .field("stream", record.get(FlowField::kKey))
      .field("role", to_string(record.role))
      .field("client", record.client.empty() ? record.signaller : record.client)
      .field("origin", record.origin_endpoint)
      .field("reason", to_string(reason))
      .field("age_ms", now_ms - record.created_ms)
      .field("packets_from_client", record.counters.packets_from_client)
      .field("packets_to_client", record.counters.packets_to_client)
      .field("drops", record.counters.drops);
  const std::uint32_t owner = book_[slot].owner;
  if (owner != kNoSlot && owner != asked_by) {
    ipc::FlowRelease release;
    release.flow = {slot, record.generation};
    release.session = record.session;
    release.reason = reason;
    send_(owner, ipc::encode(release), -1);
  }
  if (book_.erase(slot, now_ms)) notices_.note(record, reason);
}

}  // namespace weir
