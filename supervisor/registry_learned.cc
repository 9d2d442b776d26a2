// Registry: streams that others than publishers through Weir speak of: the origins' own APIs, and
// players who searched (docs/STREAMS.md).
//
// What is published through Weir is where its publisher's session is. Else an origin that shows the
// stream has it, and the first of two keeps it until it shows it no longer: then the other has it
// at once. Whoever waits for it elsewhere is told to come again.
#include "common/base/clock.h"
#include "supervisor/registry.h"

namespace weir {
namespace {

using ipc::origin_of;
using ipc::OriginRef;
using ipc::Role;

// Of the table, so that origins that tell of very many streams leave room for publishers.
constexpr std::uint64_t learned_at_most(std::uint64_t streams) {
  return streams - streams / 8;
}

}  // namespace

void Registry::learn_stream(const ipc::StreamLearned& message, std::uint64_t now_ms) {
  const Origin* origin = origins_.find(message.origin);
  if (!ipc::is_stream_key(message.key) || origin == nullptr) return;
  const std::string_view key = message.key.view();
  std::uint32_t slot = state_.find_stream(key);
  if (slot == ipc::kNoSlot) {
    const auto used = state_.header().streams_used.load(std::memory_order_relaxed);
    slot = used < learned_at_most(state_.header().stream_capacity)
               ? add_stream(key, message.origin, now_ms)
               : refuse_stream(key, now_ms);
    if (slot == ipc::kNoSlot) return;
  }
  ipc::StreamHead stream = state_.stream_head(slot);
  if (!(origin_of(stream) == message.origin)) {
    if (stream.is_held() && origins_.find(origin_of(stream)) != nullptr) {
      return note_conflict(slot, message, now_ms);
    }
    bring_stream(slot, message.origin, now_ms);
    stream = state_.stream_head(slot);
  }
  if (!stream.has(ipc::kLearned)) {
    std::uint64_t suppressed = 0;
    if (learned_log_.take(now_ms, suppressed)) {
      LogLine(LogLevel::kInfo, "stream learned from its origin")
          .field("stream", key)
          .field("origin", origin->record.name)
          .field("suppressed", suppressed);
    }
  }
  set_learned(stream, true);
  stream.facts = message.facts;
  state_.put_stream(slot, stream);
}

void Registry::set_learned(ipc::StreamHead& stream, bool on) {
  if (stream.has(ipc::kLearned) != on) {
    auto& count = state_.header().streams_learned;
    count.store(count.load(std::memory_order_relaxed) + (on ? 1U : ~0U), std::memory_order_relaxed);
  }
  stream.set(ipc::kLearned, on);
  if (on) stream.set(ipc::kKept, false);
  if (!on) stream.facts = {};
}

void Registry::note_conflict(std::uint32_t slot, const ipc::StreamLearned& message,
                             std::uint64_t now_ms) {
  const OriginRef* before = rivals_.find(slot);
  if (before != nullptr && origins_.find(*before) != nullptr) return;
  if (!rivals_.add(slot, message.origin)) return;
  std::uint64_t suppressed = 0;
  if (!conflict_log_.take(now_ms, suppressed)) return;
  const ipc::StreamHead stream = state_.stream_head(slot);
  LogLine(LogLevel::kWarn, "stream is published at two origins, players go to the first")
      .field("stream", message.key.view())
      .field("origin", origins_.at(stream.origin_slot).record.name)
      .field("also_at", origins_.at(message.origin.slot).record.name)
      .field("through_weir", stream.publishers > 0)
      .field("suppressed", suppressed);
}

bool Registry::Rivals::add(std::uint32_t slot, OriginRef origin) {
  const bool is_new = by_slot_.insert_or_assign(slot, origin).second;
  if (is_new) header_.stream_conflicts.fetch_add(1, std::memory_order_relaxed);
  show();
  return is_new;
}

void Registry::Rivals::forget(std::uint32_t slot) {
  if (by_slot_.erase(slot) != 0) show();
}

const OriginRef* Registry::Rivals::find(std::uint32_t slot) const {
  const auto found = by_slot_.find(slot);
  return found == by_slot_.end() ? nullptr : &found->second;
}

void Registry::Rivals::show() const {
  header_.conflicts_now.store(static_cast<std::uint32_t>(by_slot_.size()),
                              std::memory_order_relaxed);
}

void Registry::unlearn_stream(const ipc::StreamUnlearned& message, std::uint64_t now_ms) {
  if (!ipc::is_stream_key(message.key)) return;
  const std::uint32_t slot = state_.find_stream(message.key.view());
  if (slot == ipc::kNoSlot) return;
  const OriginRef* rival = rivals_.find(slot);
  if (rival != nullptr && *rival == message.origin) return rivals_.forget(slot);
  ipc::StreamHead stream = state_.stream_head(slot);
  if (!(origin_of(stream) == message.origin)) return;
  if (stream.has(ipc::kKept)) {
    stream.set(ipc::kKept, false);
    state_.put_stream(slot, stream);
  }
  unlearn(slot, now_ms);
}

// The stream is no longer shown where it is. Who else shows it has it now.
void Registry::unlearn(std::uint32_t slot, std::uint64_t now_ms) {
  ipc::StreamHead stream = state_.stream_head(slot);
  if (!stream.has(ipc::kLearned)) return;
  set_learned(stream, false);
  stream.last_use_ms = now_ms;
  state_.put_stream(slot, stream);
  const OriginRef* rival = rivals_.find(slot);
  if (stream.publishers == 0 && rival != nullptr && origins_.find(*rival) != nullptr) {
    const OriginRef to = *rival;
    bring_stream(slot, to, now_ms);
    stream = state_.stream_head(slot);
    set_learned(stream, true);
    state_.put_stream(slot, stream);
  } else if (stream.publishers == 0 && stream.players == 0) {
    queue_idle(slot, now_ms + stream_idle_ms_);
  }
}

void Registry::note_learn(const ipc::OriginLearn& message, std::uint64_t now_ms) {
  Origin* origin = origins_.find(message.origin);
  if (origin == nullptr || message.api > ipc::LearnApi::kNginxRtmp ||
      message.state > ipc::LearnState::kFailing) {
    return;
  }
  ipc::OriginRecord& record = origin->record;
  const bool failing = message.state == ipc::LearnState::kFailing;
  const bool changed = record.learn_state != message.state || record.learn_api != message.api;
  record.learn_api = message.api;
  record.learn_state = message.state;
  if (!failing) record.unproven = false;
  origins_.publish(message.origin.slot);
  if (!changed) return;
  LogLine(failing ? LogLevel::kWarn : LogLevel::kNotice,
          failing ? "origin's streams are not learned any more, its API does not answer"
          : message.state == ipc::LearnState::kFresh
              ? "origin's API shows its streams"
              : "origin's streams are not learned any more, its learn is off")
      .field("origin", record.name)
      .field("api", to_string(message.api))
      .field("state", to_string(message.state));
  if (message.state == ipc::LearnState::kFresh) return;
  for (std::uint32_t slot = 0; slot < streams_.size(); ++slot) {
    if (streams_[slot].origin_slot == message.origin.slot) unlearn(slot, now_ms);
  }
}

// A worker's word counts as that of a session that has arrived: it moves nothing that is held.
void Registry::note_found(const ipc::StreamFound& message, std::uint64_t now_ms) {
  if (!ipc::is_stream_key(message.key) || origins_.find(message.origin) == nullptr) return;
  std::uint32_t slot = state_.find_stream(message.key.view());
  if (slot == ipc::kNoSlot) slot = add_stream(message.key.view(), message.origin, now_ms);
  if (slot == ipc::kNoSlot) return;
  ipc::StreamHead stream = state_.stream_head(slot);
  if (!(origin_of(stream) == message.origin)) {
    if (stream.is_held()) return;
    bring_stream(slot, message.origin, now_ms);
    stream = state_.stream_head(slot);
  }
  stream.set(ipc::kSearched, true);
  stream.set(ipc::kKept, false);
  stream.last_use_ms = now_ms;
  state_.put_stream(slot, stream);
}

// It has come up elsewhere. Players who wait where nobody publishes it come again when they are
// ended, and are then brought to it. That it is not where they are is known for sure if that
// origin's API shows its streams, and not this one; else those who have had media stay.
void Registry::bring_stream(std::uint32_t slot, OriginRef to, std::uint64_t now_ms) {
  const ipc::StreamHead stream = state_.stream_head(slot);
  const Origin* origin = origins_.find(origin_of(stream));
  const bool certain =
      origin == nullptr ||
      (origin->record.learn_state == ipc::LearnState::kFresh && !stream.has(ipc::kLearned));
  ipc::SessionEnd end;
  end.reason = certain ? ipc::SessionEndReason::kMoved : ipc::SessionEndReason::kMovedIfSilent;
  for (auto it = sessions_.begin(); stream.players > 0 && it != sessions_.end(); ++it) {
    const SessionEntry& session = it->second;
    if (session.stream != slot || session.epoch != streams_[slot].epoch ||
        session.role != Role::kPlayer) {
      continue;
    }
    end.session = it->first;
    ends_.push_back({session.worker, end});
  }
  move_stream(slot, to, now_ms);
}

std::vector<Registry::OrderedEnd> Registry::take_ends() {
  return std::exchange(ends_, {});
}

}  // namespace weir
