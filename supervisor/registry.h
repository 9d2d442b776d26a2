// Registry: the only writer of streams and sessions, and the owner of the origins (DESIGN sections
// 3 and 6). Takes the workers' decoded messages and a clock value, changes the shared state, and
// returns the answer to send; it has no descriptor, timer or process of its own, so tests drive it
// directly. Owner: the master's loop, one thread. Every message is hostile input: nothing in it is
// trusted to be in range, and nothing that it names may grow a table beyond its bound.
//
// A stream points to one origin. While somebody publishes it there it stays, whatever probes and
// clients' dials say, until the origin is removed: who cannot be served there is told so
// (kStreamElsewhere), since no other origin has it. Otherwise it moves when its origin is dead or
// does not take the protocol of who asks; but a player that alone cannot be served where others
// watch gets another origin for itself (a detour), and the stream stays.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "common/config/config.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "ipc/state_writer.h"
#include "supervisor/named_origins.h"
#include "supervisor/origin_choice.h"
#include "supervisor/origins.h"

namespace weir {

class Registry {
 public:
  // `random` seeds tie-breaks and the random policy.
  Registry(ipc::StateWriter& state, std::uint64_t random);

  // At start and after each reload: policy, health and limits, static origins, default backend.
  void apply(const Config& config, std::uint64_t now_ms);

  // At start, after apply(): takes over the registered origins of the master that this one
  // replaces. While that one lives its streams are looked up there when they are not known here:
  // their publishers may still be connected through it.
  void adopt(ipc::StateView predecessor);
  // The same from the state that a service which has ended left (docs/STREAMS.md, "Kept over a
  // restart"). It is not trusted, and not read again.
  void restore(const ipc::StateView& saved, std::uint64_t now_ms);

  ipc::RouteAnswer route(const ipc::RouteRequest& request, std::uint64_t now_ms);
  // A SessionEnd when the session goes beyond a limit; it counts until its close all the same.
  std::optional<ipc::SessionEnd> open_session(std::uint32_t worker, const ipc::SessionOpen& open,
                                              std::uint64_t now_ms);
  void close_session(std::uint32_t worker, SessionId id, std::uint64_t now_ms);
  // registry_learned.cc: what the origins' APIs show, and what players have found.
  void learn_stream(const ipc::StreamLearned& message, std::uint64_t now_ms);
  void unlearn_stream(const ipc::StreamUnlearned& message, std::uint64_t now_ms);
  void note_learn(const ipc::OriginLearn& message, std::uint64_t now_ms);
  void note_found(const ipc::StreamFound& message, std::uint64_t now_ms);
  // Sessions to be ended since the last call, and the worker of each: kNoWorker for those of the
  // session table.
  static constexpr std::uint32_t kNoWorker = 0xFFFFFFFF;
  struct OrderedEnd {
    std::uint32_t worker = kNoWorker;
    ipc::SessionEnd end;
  };
  std::vector<OrderedEnd> take_ends();

  // Releases what the sessions of an ended worker held.
  void worker_gone(std::uint32_t worker, std::uint64_t now_ms);

  Origins& origins() { return origins_; }
  const Origins& origins() const { return origins_; }
  NamedOrigins& named_origins() { return named_origins_; }
  // TTLs, ends of ejections, idle streams. Call each second and at origins().next_timer_ms().
  void tick(std::uint64_t now_ms);
  std::size_t sessions() const { return sessions_.size(); }
  bool has_predecessor() const { return predecessor_.has_value(); }

 private:
  using Origin = Origins::Origin;
  // What the shared record of a stream does not need to show. `epoch` tells the sessions that the
  // record counts (they were opened where the stream is now) from older ones.
  struct StreamMeta {
    std::uint32_t epoch = 0;
    std::uint32_t origin_slot = ipc::kNoSlot;
    bool idle_queued = false;
  };
  struct SessionEntry {
    std::uint32_t worker = 0;
    ipc::OriginRef origin;
    std::uint32_t stream = ipc::kNoSlot;
    std::uint32_t epoch = 0;
    ipc::Role role = ipc::Role::kPlayer;
    ipc::EndpointKind protocol = ipc::EndpointKind::kRtmp;
    std::uint64_t client = 0;  // address_group()
  };
  struct KeyHash {
    std::size_t operator()(std::uint64_t key) const { return route::mix(key); }
  };
  using Counts = std::unordered_map<std::uint64_t, std::uint32_t, KeyHash>;
  struct Idle {
    std::uint64_t due_ms;
    std::uint32_t stream;
  };
  // Of streams that two origins show: the one that does not have it, by the stream's slot.
  class Rivals {
   public:
    explicit Rivals(ipc::StateHeader& header) : header_(header) {}
    // False: there was one already.
    bool add(std::uint32_t slot, ipc::OriginRef origin);
    void forget(std::uint32_t slot);
    const ipc::OriginRef* find(std::uint32_t slot) const;  // nullptr: none

   private:
    void show() const;
    ipc::StateHeader& header_;
    std::unordered_map<std::uint32_t, ipc::OriginRef> by_slot_;
  };
  enum class Verdict : std::uint8_t { kStay, kMove, kDetour, kElsewhere };

  Verdict judge(std::uint32_t slot, const ipc::StreamHead& stream,
                const ipc::RouteRequest& request) const;
  bool is_held(const ipc::StreamHead& stream, std::string_view key) const;
  bool has_other_viewers(std::uint32_t slot, ipc::EndpointKind than) const;
  ipc::OriginRef choose_other(const ipc::RouteRequest& request, std::uint32_t stream);
  std::uint32_t add_stream(std::string_view key, ipc::OriginRef origin, std::uint64_t now_ms);
  std::uint32_t refuse_stream(std::string_view key, std::uint64_t now_ms);
  std::uint32_t add_predecessors_stream(std::string_view key, std::uint64_t now_ms);
  void move_stream(std::uint32_t slot, ipc::OriginRef to, std::uint64_t now_ms);
  void erase_stream(std::uint32_t slot);
  void forget_streams_of(std::uint32_t origin_slot);
  void assign(std::uint32_t slot, ipc::OriginRef origin);
  void count_in_stream(SessionEntry& session, const ipc::SessionOpen& open, std::uint64_t now_ms);
  void release(const SessionEntry& session, std::uint64_t now_ms);
  void release_from_stream(const SessionEntry& session, std::uint64_t now_ms);
  void queue_idle(std::uint32_t slot, std::uint64_t due_ms);
  void forget_idle_streams(std::uint64_t now_ms);
  std::optional<ipc::SessionEnd> check_limits(SessionId id, const SessionEntry& session);

  // registry_learned.cc
  void set_learned(ipc::StreamHead& stream, bool on);
  void note_conflict(std::uint32_t slot, const ipc::StreamLearned& message, std::uint64_t now_ms);
  void unlearn(std::uint32_t slot, std::uint64_t now_ms);
  void bring_stream(std::uint32_t slot, ipc::OriginRef to, std::uint64_t now_ms);

  ipc::StateWriter& state_;
  Origins origins_;
  NamedOrigins named_origins_{origins_, state_};
  OriginChoice choice_;
  std::optional<ipc::StateView> predecessor_;
  std::uint64_t stream_idle_ms_ = 0;
  std::uint64_t max_sessions_ = 0;
  // Of one protocol; 0: no limit.
  struct Limits {
    std::uint64_t per_address = 0;
    std::uint64_t players = 0;
  };
  std::array<Limits, ipc::kEndpointKinds> limits_;
  std::vector<StreamMeta> streams_;  // by slot
  // Of few streams, by slot: where those go who cannot be served where it is, and a second origin
  // that shows it.
  std::unordered_map<std::uint32_t, ipc::OriginRef> detours_;
  Rivals rivals_;
  std::vector<OrderedEnd> ends_;
  std::uint32_t next_epoch_ = 0;
  std::deque<Idle> idle_;
  std::unordered_map<SessionId, SessionEntry> sessions_;
  // Sessions of each address and players of each stream, by protocol.
  std::array<Counts, ipc::kEndpointKinds> addresses_;
  std::array<Counts, ipc::kEndpointKinds> viewers_;
  LogBudget full_streams_log_{1, kRefusalLogMs};
  LogBudget full_sessions_log_{1, kRefusalLogMs};
  LogBudget no_origin_log_{1, kRefusalLogMs};
  LogBudget conflict_log_{10, kRefusalLogMs};
  LogBudget learned_log_{100};
};

}  // namespace weir
