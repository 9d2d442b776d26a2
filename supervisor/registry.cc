#include "supervisor/registry.h"

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/network.h"
#include "ipc/origin_walk.h"
#include "ipc/saved_state.h"

namespace weir {
namespace {

using ipc::origin_of;
using ipc::OriginRef;
using ipc::Role;

constexpr std::uint64_t kSpareSessions = 65536;  // draining generations beside the current one

bool valid_request(const ipc::RouteRequest& request) {
  return ipc::is_stream_key(request.key) &&
         static_cast<std::size_t>(request.protocol) < ipc::kEndpointKinds;
}

// A stream at the origin where it is now; sessions that were opened elsewhere have another epoch.
std::uint64_t viewers_key(std::uint32_t stream, std::uint32_t epoch) {
  return std::uint64_t{epoch} << 32U | stream;
}

void note_no_origin(const ipc::RouteRequest& request, std::size_t origins, std::uint64_t now_ms,
                    LogBudget& budget) {
  std::uint64_t suppressed = 0;
  if (!budget.take(now_ms, suppressed)) return;
  LogLine(LogLevel::kWarn, "no origin can take the stream")
      .session(request.session)
      .field("stream", request.key.view())
      .field("role", to_string(request.role))
      .field("endpoint", to_string(request.protocol))
      .field("tried", request.failed_count)
      .field("origins", origins)
      .field("suppressed", suppressed);
}

template <typename Counts>
void count_down(Counts& counts, std::uint64_t key) {
  const auto found = counts.find(key);
  if (found != counts.end() && --found->second == 0) counts.erase(found);
}

bool has_sessions(const ipc::StreamHead& stream) {
  return stream.publishers > 0 || stream.players > 0;
}

}  // namespace

Registry::Registry(ipc::StateWriter& state, std::uint64_t random)
    : state_(state),
      origins_(state, [this](std::uint32_t slot) { forget_streams_of(slot); }),
      choice_(origins_, random),
      rivals_(state.header()) {}

// Sessions go on; their streams are forgotten, so that their next client finds another origin.
void Registry::forget_streams_of(std::uint32_t origin_slot) {
  for (std::uint32_t stream = 0; stream < streams_.size(); ++stream) {
    if (streams_[stream].origin_slot == origin_slot) erase_stream(stream);
  }
}

void Registry::adopt(ipc::StateView predecessor) {
  const std::size_t adopted = origins_.adopt(predecessor);
  named_origins_.adopt(predecessor, monotonic_ms());
  LogLine(LogLevel::kNotice, "upgrade: routes of the old program are known")
      .field("registered_origins", adopted)
      .field("streams", predecessor.header().streams_used.load(std::memory_order_relaxed));
  predecessor_.emplace(std::move(predecessor));
}

// Nobody has said since that any of it is still so, but it is the best guess there is.
void Registry::restore(const ipc::StateView& saved, std::uint64_t now_ms) {
  const std::size_t origins = origins_.adopt(saved, now_ms);
  named_origins_.adopt(saved, now_ms);
  std::vector<std::pair<OriginRef, OriginRef>> places(saved.header().origin_capacity);  // by slot
  ipc::each_origin(saved, [&](OriginRef there, const ipc::OriginRecord& record) {
    const std::uint32_t slot =
        ipc::plausible(record) ? origins_.find_adopted(record) : ipc::kNoSlot;
    if (slot != ipc::kNoSlot) places[there.slot] = {there, origins_.ref_of(slot)};
  });
  std::size_t streams = 0;
  for (std::uint32_t i = 0; i < saved.header().stream_capacity; ++i) {
    ipc::StreamRecord stream;
    if (!ipc::read_saved_stream(saved, i, stream) || stream.origin_slot >= places.size()) continue;
    const auto& [there, here] = places[stream.origin_slot];
    if (here.slot == ipc::kNoSlot || !(there == origin_of(stream)) ||
        state_.find_stream(stream.key_text()) != ipc::kNoSlot) {
      continue;
    }
    const std::uint32_t slot = add_stream(stream.key_text(), here, now_ms);
    if (slot == ipc::kNoSlot) break;
    ipc::StreamHead head = state_.stream_head(slot);
    head.set(ipc::kKept, true);
    state_.put_stream(slot, head);
    ++streams;
  }
  LogLine(LogLevel::kNotice, "streams and registered origins of the last service are kept")
      .field("registered_origins", origins)
      .field("streams", streams);
}

// While its publisher's session lives a stream is at that origin and nowhere else, whatever probes
// or heartbeats say; who cannot be served there is told so.
Registry::Verdict Registry::judge(std::uint32_t slot, const ipc::StreamHead& stream,
                                  const ipc::RouteRequest& request) const {
  const OriginRef ref = origin_of(stream);
  const Origin* origin = origins_.find(ref);
  if (origin == nullptr) return Verdict::kMove;
  const ipc::OriginRecord& record = origin->record;
  const bool failed = failed_here(request, ref);
  if (is_held(stream, request.key.view())) {
    return record.has(request.protocol) && !failed ? Verdict::kStay : Verdict::kElsewhere;
  }
  const bool takes = record.takes(request.protocol);
  if (failed || !takes) {
    // What this client, or its protocol, cannot reach may serve the viewers who are there.
    const bool watched = takes ? stream.players > 0 : has_other_viewers(slot, request.protocol);
    return request.role == Role::kPlayer && watched ? Verdict::kDetour : Verdict::kMove;
  }
  if (!record.draining) return Verdict::kStay;
  return request.role == Role::kPlayer && stream.players > 0 ? Verdict::kStay : Verdict::kMove;
}

// Here, or through the program that this one replaces.
bool Registry::is_held(const ipc::StreamHead& stream, std::string_view key) const {
  if (stream.is_held()) return true;
  ipc::StreamHead there;
  ipc::OriginRecord origin;
  return predecessor_ && predecessor_->find_stream(key, there) && there.publishers > 0 &&
         predecessor_->read_origin(origin_of(there), origin) &&
         origins_.find_adopted(origin) == stream.origin_slot;
}

// Players of other protocols, whose endpoints there take traffic.
bool Registry::has_other_viewers(std::uint32_t slot, ipc::EndpointKind than) const {
  const Origin& origin = origins_.at(streams_[slot].origin_slot);
  const std::uint64_t key = viewers_key(slot, streams_[slot].epoch);
  for (std::size_t i = 0; i < ipc::kEndpointKinds; ++i) {
    const auto kind = static_cast<ipc::EndpointKind>(i);
    if (kind != than && origin.record.takes(kind) && viewers_[i].count(key) != 0) return true;
  }
  return false;
}

ipc::RouteAnswer Registry::route(const ipc::RouteRequest& request, std::uint64_t now_ms) {
  ipc::RouteAnswer answer;
  answer.header.request = request.header.request;
  if (!valid_request(request)) return answer;
  origins_.expire_ejections(now_ms);
  const std::string_view key = request.key.view();
  std::uint32_t slot = state_.find_stream(key);
  if (slot == ipc::kNoSlot) slot = add_predecessors_stream(key, now_ms);
  Verdict verdict = Verdict::kMove;
  if (slot != ipc::kNoSlot) {
    ipc::StreamHead stream = state_.stream_head(slot);
    verdict = judge(slot, stream, request);
    if (verdict == Verdict::kElsewhere) {
      answer.status = ipc::RouteStatus::kStreamElsewhere;
      return answer;
    }
    if (verdict == Verdict::kStay) {
      stream.last_use_ms = now_ms;
      state_.put_stream(slot, stream);
      answer.status = ipc::RouteStatus::kOk;
      answer.origin = origin_of(stream);
      return answer;
    }
  }
  const OriginRef chosen =
      slot == ipc::kNoSlot ? choice_.choose(request) : choose_other(request, slot);
  if (chosen.slot == ipc::kNoSlot) {
    note_no_origin(request, origins_.used().size(), now_ms, no_origin_log_);
    return answer;
  }
  if (slot == ipc::kNoSlot) {
    if (add_stream(key, chosen, now_ms) == ipc::kNoSlot) {
      answer.status = ipc::RouteStatus::kTableFull;
      return answer;
    }
    LogLine(LogLevel::kInfo, "stream assigned")
        .field("stream", key)
        .field("origin", origins_.at(chosen.slot).record.name);
  } else if (verdict == Verdict::kDetour) {
    detours_[slot] = chosen;
  } else if (!(origin_of(state_.stream_head(slot)) == chosen)) {
    move_stream(slot, chosen, now_ms);
  }
  answer.status = ipc::RouteStatus::kOk;
  answer.origin = chosen;
  return answer;
}

// Those who cannot be served where the stream is all go to the same other origin.
OriginRef Registry::choose_other(const ipc::RouteRequest& request, std::uint32_t stream) {
  const auto detour = detours_.find(stream);
  const OriginRef before = detour == detours_.end() ? OriginRef{} : detour->second;
  const Origin* origin = origins_.find(before);
  const bool usable = origin != nullptr && origin->record.takes(request.protocol) &&
                      !origin->record.draining && !failed_here(request, before);
  return usable ? before : choice_.choose(request);
}

std::uint32_t Registry::add_stream(std::string_view key, OriginRef origin, std::uint64_t now_ms) {
  ipc::StreamHead record;
  record.origin_slot = origin.slot;
  record.origin_generation = origin.generation;
  record.created_wall_s = static_cast<std::uint32_t>(wall_ms() / 1000);
  record.last_use_ms = now_ms;
  const std::uint32_t slot = state_.add_stream(key, record);
  if (slot == ipc::kNoSlot) return refuse_stream(key, now_ms);
  if (streams_.size() <= slot) streams_.resize(slot + 1);
  const bool queued = streams_[slot].idle_queued;
  streams_[slot] = StreamMeta{};
  streams_[slot].idle_queued = queued;
  assign(slot, origin);
  queue_idle(slot, now_ms + stream_idle_ms_);
  return slot;
}

// The table is full, or for learned streams nearly so: an eighth of it is for publishers. Or the
// file system is where the table is.
std::uint32_t Registry::refuse_stream(std::string_view key, std::uint64_t now_ms) {
  ipc::StateHeader& header = state_.header();
  header.streams_refused.fetch_add(1, std::memory_order_relaxed);
  std::uint64_t suppressed = 0;
  if (full_streams_log_.take(now_ms, suppressed)) {
    const auto used = header.streams_used.load(std::memory_order_relaxed);
    const bool has_rows = used < header.stream_capacity - header.stream_capacity / 8;
    LogLine(LogLevel::kError, has_rows ? "stream refused, the file system of session_file is full"
                                       : "stream refused, the table is full (max_streams)")
        .field("stream", key)
        .field("streams", used)
        .field("max_streams", header.stream_capacity)
        .field("suppressed", suppressed);
  }
  return ipc::kNoSlot;
}

std::uint32_t Registry::add_predecessors_stream(std::string_view key, std::uint64_t now_ms) {
  ipc::StreamHead stream;
  ipc::OriginRecord origin;
  if (!predecessor_ || !predecessor_->find_stream(key, stream) ||
      !predecessor_->read_origin(origin_of(stream), origin)) {
    return ipc::kNoSlot;
  }
  const std::uint32_t slot = origins_.find_adopted(origin);
  return slot == ipc::kNoSlot ? slot : add_stream(key, origins_.ref_of(slot), now_ms);
}

// Counts the stream at its origin and begins a new epoch.
void Registry::assign(std::uint32_t slot, OriginRef origin) {
  StreamMeta& meta = streams_[slot];
  meta.origin_slot = origin.slot;
  meta.epoch = ++next_epoch_;
  detours_.erase(slot);
  rivals_.forget(slot);
  ++origins_.at(origin.slot).record.streams;
  origins_.publish(origin.slot);
}

// REQUIRES: nobody publishes it.
void Registry::move_stream(std::uint32_t slot, OriginRef to, std::uint64_t now_ms) {
  ipc::StreamRecord record = state_.stream(slot);
  Origin* old = origins_.find(origin_of(record));
  LogLine(LogLevel::kNotice, "stream moved")
      .field("stream", record.key_text())
      .field("from", old != nullptr ? old->record.name : "a removed origin")
      .field("from_state", old != nullptr ? state_text(old->record) : "free")
      .field("to", origins_.at(to.slot).record.name)
      .field("players_left", record.players);
  if (old != nullptr) {
    --old->record.streams;
    origins_.publish(record.origin_slot);
  }
  assign(slot, to);
  set_learned(record, false);
  record.flags = 0;
  record.origin_slot = to.slot;
  record.origin_generation = to.generation;
  record.players = 0;
  record.last_use_ms = now_ms;
  state_.put_stream(slot, record);
  queue_idle(slot, now_ms + stream_idle_ms_);
}

void Registry::erase_stream(std::uint32_t slot) {
  ipc::StreamHead record = state_.stream_head(slot);
  set_learned(record, false);
  detours_.erase(slot);
  rivals_.forget(slot);
  if (Origin* origin = origins_.find(origin_of(record)); origin != nullptr) {
    --origin->record.streams;
    origins_.publish(record.origin_slot);
  }
  StreamMeta& meta = streams_[slot];
  meta.origin_slot = ipc::kNoSlot;
  meta.epoch = ++next_epoch_;
  state_.erase_stream(slot);
}

std::optional<ipc::SessionEnd> Registry::open_session(std::uint32_t worker,
                                                      const ipc::SessionOpen& open,
                                                      std::uint64_t now_ms) {
  const bool sane = ipc::is_stream_key(open.key) &&
                    (open.role == Role::kPlayer || open.role == Role::kPublisher) &&
                    static_cast<std::size_t>(open.protocol) < ipc::kEndpointKinds;
  if (!sane || sessions_.count(open.session) != 0) return std::nullopt;
  if (sessions_.size() >= max_sessions_) {
    std::uint64_t suppressed = 0;
    if (full_sessions_log_.take(now_ms, suppressed)) {
      LogLine(LogLevel::kError, "session not recorded, too many are open")
          .session(open.session)
          .field("sessions", sessions_.size())
          .field("suppressed", suppressed);
    }
    return std::nullopt;
  }
  SessionEntry session;
  session.worker = worker;
  session.origin = open.origin;
  session.role = open.role;
  session.protocol = open.protocol;
  session.client = address_group(open.client);
  if (Origin* origin = origins_.find(open.origin); origin != nullptr) {
    ++(open.role == Role::kPublisher ? origin->record.publishers : origin->record.players);
    origins_.publish(open.origin.slot);
    count_in_stream(session, open, now_ms);
  } else {
    // Not counted there, so its end must not be either, should the slot ever come to this
    // generation: a worker may name what does not exist yet.
    session.origin = OriginRef{};
  }
  const auto protocol = static_cast<std::size_t>(session.protocol);
  ++addresses_[protocol][session.client];
  if (session.role == Role::kPlayer && session.stream != ipc::kNoSlot) {
    ++viewers_[protocol][viewers_key(session.stream, session.epoch)];
  }
  sessions_.emplace(open.session, session);
  state_.header().sessions.store(sessions_.size(), std::memory_order_relaxed);
  return check_limits(open.session, session);
}

// Counts the session in its stream's record if it is where the stream is. Where a session has
// really arrived is stronger than a plan that nobody has followed yet.
void Registry::count_in_stream(SessionEntry& session, const ipc::SessionOpen& open,
                               std::uint64_t now_ms) {
  std::uint32_t slot = state_.find_stream(open.key.view());
  if (slot == ipc::kNoSlot) slot = add_stream(open.key.view(), open.origin, now_ms);
  if (slot == ipc::kNoSlot) return;
  ipc::StreamHead record = state_.stream_head(slot);
  const bool publisher = open.role == Role::kPublisher;
  if (!(origin_of(record) == open.origin)) {
    if (record.publishers > 0 || (!publisher && (record.is_held() || record.players > 0))) {
      if (publisher) {
        LogLine(LogLevel::kWarn, "stream is published at two origins")
            .session(open.session)
            .field("stream", open.key.view())
            .field("origin", origins_.at(open.origin.slot).record.name);
      }
      return;
    }
    bring_stream(slot, open.origin, now_ms);
    record = state_.stream_head(slot);
  }
  if (publisher) record.set(ipc::kKept, false);
  ++(publisher ? record.publishers : record.players);
  state_.put_stream(slot, record);
  session.stream = slot;
  session.epoch = streams_[slot].epoch;
}

std::optional<ipc::SessionEnd> Registry::check_limits(SessionId id, const SessionEntry& session) {
  ipc::SessionEnd end;
  end.session = id;
  const auto protocol = static_cast<std::size_t>(session.protocol);
  const Limits& limits = limits_[protocol];
  if (limits.per_address != 0 && addresses_[protocol][session.client] > limits.per_address) {
    end.reason = ipc::SessionEndReason::kAddressLimit;
    return end;
  }
  if (limits.players != 0 && session.role == Role::kPlayer && session.stream != ipc::kNoSlot &&
      viewers_[protocol][viewers_key(session.stream, session.epoch)] > limits.players) {
    end.reason = ipc::SessionEndReason::kStreamLimit;
    return end;
  }
  return std::nullopt;
}

void Registry::close_session(std::uint32_t worker, SessionId id, std::uint64_t now_ms) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end() || found->second.worker != worker) return;
  release(found->second, now_ms);
  sessions_.erase(found);
  state_.header().sessions.store(sessions_.size(), std::memory_order_relaxed);
}

void Registry::worker_gone(std::uint32_t worker, std::uint64_t now_ms) {
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    if (it->second.worker != worker) {
      ++it;
      continue;
    }
    release(it->second, now_ms);
    it = sessions_.erase(it);
  }
  state_.header().sessions.store(sessions_.size(), std::memory_order_relaxed);
}

void Registry::release(const SessionEntry& session, std::uint64_t now_ms) {
  if (Origin* origin = origins_.find(session.origin); origin != nullptr) {
    --(session.role == Role::kPublisher ? origin->record.publishers : origin->record.players);
    origins_.publish(session.origin.slot);
  }
  const auto protocol = static_cast<std::size_t>(session.protocol);
  count_down(addresses_[protocol], session.client);
  if (session.role == Role::kPlayer && session.stream != ipc::kNoSlot) {
    count_down(viewers_[protocol], viewers_key(session.stream, session.epoch));
  }
  if (session.stream != ipc::kNoSlot) release_from_stream(session, now_ms);
}

void Registry::release_from_stream(const SessionEntry& session, std::uint64_t now_ms) {
  StreamMeta& meta = streams_[session.stream];
  const bool publisher = session.role == Role::kPublisher;
  if (session.epoch != meta.epoch) return;  // the stream has moved since
  ipc::StreamHead record = state_.stream_head(session.stream);
  --(publisher ? record.publishers : record.players);
  record.last_use_ms = now_ms;
  state_.put_stream(session.stream, record);
  if (record.publishers == 0 && record.players == 0) {
    queue_idle(session.stream, now_ms + stream_idle_ms_);
  }
}

void Registry::queue_idle(std::uint32_t slot, std::uint64_t due_ms) {
  if (streams_[slot].idle_queued) return;
  streams_[slot].idle_queued = true;
  idle_.push_back({due_ms, slot});
}

// Each stream is in the queue once at most; what it finds there is decided by the record.
void Registry::forget_idle_streams(std::uint64_t now_ms) {
  for (std::size_t left = idle_.size(); left > 0 && idle_.front().due_ms <= now_ms; --left) {
    const std::uint32_t slot = idle_.front().stream;
    idle_.pop_front();
    StreamMeta& meta = streams_[slot];
    meta.idle_queued = false;
    if (meta.origin_slot == ipc::kNoSlot) continue;
    const ipc::StreamHead record = state_.stream_head(slot);
    if (record.is_held() || record.players > 0) continue;  // queued again when they have gone
    const std::uint64_t due = record.last_use_ms + stream_idle_ms_;
    ipc::StreamHead there;
    if (due > now_ms) {
      queue_idle(slot, due);
    } else if (predecessor_ && predecessor_->find_stream(state_.stream(slot).key_text(), there) &&
               has_sessions(there)) {
      queue_idle(slot, now_ms + stream_idle_ms_);
    } else {
      LogLine(LogLevel::kDebug, "idle stream forgotten")
          .field("stream", state_.stream(slot).key_text());
      erase_stream(slot);
    }
  }
}

void Registry::tick(std::uint64_t now_ms) {
  origins_.tick(now_ms);
  named_origins_.tick(now_ms, predecessor_.has_value());
  if (predecessor_ && !ipc::beats(*predecessor_, now_ms)) predecessor_.reset();
  // Streams whose sessions go on through the old program have their rows here, too.
  if (predecessor_) {
    ipc::each_stream(*predecessor_, [&](const ipc::StreamRecord& stream) {
      if (!has_sessions(stream) || state_.find_stream(stream.key_text()) != ipc::kNoSlot) return;
      add_predecessors_stream(stream.key_text(), now_ms);
    });
  }
  forget_idle_streams(now_ms);
}

void Registry::apply(const Config& config, std::uint64_t now_ms) {
  choice_.apply(config);
  stream_idle_ms_ = config.stream_idle_timeout;
  const std::int64_t clients = config.rtmp.max_connections + config.http.max_connections;
  max_sessions_ = 2 * static_cast<std::uint64_t>(clients) +
                  static_cast<std::uint64_t>(config.max_udp_sessions) + kSpareSessions;
  limits_[static_cast<std::size_t>(ipc::EndpointKind::kRtmp)] = {
      static_cast<std::uint64_t>(config.rtmp.max_connections_per_address),
      static_cast<std::uint64_t>(config.rtmp.max_players_per_stream)};
  limits_[static_cast<std::size_t>(ipc::EndpointKind::kHttp)] = {
      static_cast<std::uint64_t>(config.http.max_connections_per_address),
      static_cast<std::uint64_t>(config.http.max_players_per_stream)};
  limits_[static_cast<std::size_t>(ipc::EndpointKind::kRtc)] = {
      static_cast<std::uint64_t>(config.rtc.max_sessions_per_address), 0};
  limits_[static_cast<std::size_t>(ipc::EndpointKind::kSrt)] = {
      static_cast<std::uint64_t>(config.srt.max_sessions_per_address),
      static_cast<std::uint64_t>(config.srt.max_players_per_stream)};
  origins_.apply(config, now_ms);
  named_origins_.apply(config, now_ms);
}

}  // namespace weir
