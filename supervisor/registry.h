// Registry: the only writer of origins, streams and sessions (DESIGN sections 3 and 6). Takes the
// workers' decoded messages and a clock value, changes the shared state, and returns the answer to
// send; it has no descriptor, timer or process of its own, so tests drive it directly.
// Owner: the master's loop, one thread. Every message is hostile input: nothing in it is trusted to
// be in range, and nothing that it names may grow a table beyond its bound.
//
// A stream points to one origin and stays there while that origin lives. It moves when the origin
// is dead, ejected or gone, or when a client's dial to it failed; but a player of a stream that
// someone publishes right now is never sent to another origin because of its own failed dial
// (kStreamElsewhere): the stream is not there.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "common/config/config.h"
#include "common/route/balance.h"
#include "common/route/health.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "ipc/state_writer.h"

namespace weir {

class Registry {
 public:
  // Lets one line through each interval and counts what it held back.
  struct LogGate {
    std::uint64_t next_ms = 0;
    std::uint64_t held_back = 0;
    bool open(std::uint64_t now_ms);
  };

  // `random` seeds tie-breaks and the random policy.
  Registry(ipc::StateWriter& state, std::uint64_t random);

  // At start and after each reload: policy, health and limits, static origins, default backend.
  void apply(const Config& config, std::uint64_t now_ms);

  // At start, after apply(): takes over the registered origins of the master that this one
  // replaces. While that one lives its streams are looked up there when they are not known here:
  // their publishers may still be connected through it.
  void adopt(ipc::StateView predecessor);

  ipc::RouteAnswer route(const ipc::RouteRequest& request, std::uint64_t now_ms);
  // A SessionEnd when the session goes beyond a limit; it counts until its close all the same.
  std::optional<ipc::SessionEnd> open_session(std::uint32_t worker, const ipc::SessionOpen& open,
                                              std::uint64_t now_ms);
  void close_session(std::uint32_t worker, SessionId id, std::uint64_t now_ms);
  // Releases what the sessions of an ended worker held.
  void worker_gone(std::uint32_t worker, std::uint64_t now_ms);
  bool knows(ipc::OriginRef origin) const { return find(origin) != nullptr; }
  // Whose endpoint of this kind that is; kNoSlot when it is nobody's.
  ipc::OriginRef find_endpoint(ipc::EndpointKind kind, const Endpoint& endpoint) const;
  // The only origin at this address that names no endpoint of that kind; none when there are
  // several.
  ipc::OriginRef find_host(ipc::EndpointKind without, const Endpoint& address) const;
  // A dial's or a probe's outcome.
  void report(ipc::OriginRef origin, ipc::DialOutcome outcome, std::uint64_t now_ms);
  ipc::Reply register_origin(const ipc::OriginRegister& message, std::uint64_t now_ms);
  ipc::Reply command(const ipc::OriginCommand& message, std::uint64_t now_ms);

  // TTLs, ends of ejections, idle streams. Call each second and at next_timer_ms().
  void tick(std::uint64_t now_ms);
  // When the next ejection ends; 0 for none.
  std::uint64_t next_timer_ms() const { return next_ejection_end_ms_; }
  std::size_t sessions() const { return sessions_.size(); }

 private:
  struct Origin {
    ipc::OriginRecord record;  // what the shared memory shows; free when nobody's
    std::uint64_t id = 0;
    std::int64_t credit = 0;
    bool is_default = false;
  };
  // What the shared record of a stream does not need to show. `epoch` tells the sessions that the
  // record counts (they were opened where the stream is now) from older ones. `home` is where a
  // stream that moved away from an ejected or dead origin is still published: it moves back when
  // that origin does.
  struct StreamMeta {
    std::uint32_t epoch = 0;
    std::uint32_t origin_slot = ipc::kNoSlot;
    bool idle_queued = false;
    ipc::OriginRef home;
    std::uint32_t home_epoch = 0;
    std::uint32_t home_publishers = 0;
    std::uint32_t home_players = 0;
  };
  struct Session {
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
  static void count_down(Counts& counts, std::uint64_t key);
  struct StaticOrigin {
    OriginConfig config;
    ipc::OriginRef ref;
  };
  struct Idle {
    std::uint64_t due_ms;
    std::uint32_t stream;
  };
  // A set that forgets its oldest members.
  class BoundedSet {
   public:
    explicit BoundedSet(std::size_t limit) : limit_(limit) {}
    void insert(const std::string& value);
    bool contains(const std::string& value) const { return members_.count(value) != 0; }

   private:
    std::size_t limit_;
    std::unordered_set<std::string> members_;
    std::deque<std::string> order_;
  };
  enum class Verdict : std::uint8_t { kStay, kMove, kElsewhere };

  // registry.cc: streams and sessions
  Verdict judge(const ipc::StreamRecord& stream, const ipc::RouteRequest& request) const;
  ipc::OriginRef choose(const ipc::RouteRequest& request, std::string_view key);
  ipc::OriginRef choose_ejected(const ipc::RouteRequest& request) const;
  std::uint32_t add_stream(std::string_view key, ipc::OriginRef origin, std::uint64_t now_ms);
  std::uint32_t add_predecessors_stream(std::string_view key, std::uint64_t now_ms);
  void move_stream(std::uint32_t slot, ipc::OriginRef to, std::uint64_t now_ms);
  void erase_stream(std::uint32_t slot);
  void assign(std::uint32_t slot, ipc::OriginRef origin);
  void count_in_stream(Session& session, const ipc::SessionOpen& open, std::uint64_t now_ms);
  void release(const Session& session, std::uint64_t now_ms);
  void release_from_stream(const Session& session, std::uint64_t now_ms);
  void queue_idle(std::uint32_t slot, std::uint64_t due_ms);
  void forget_idle_streams(std::uint64_t now_ms);
  std::optional<ipc::SessionEnd> check_limits(SessionId id, const Session& session);

  // registry_origins.cc: origins
  Origin* find(ipc::OriginRef ref);
  const Origin* find(ipc::OriginRef ref) const;
  ipc::OriginRef ref_of(std::uint32_t slot) const;
  void publish(std::uint32_t slot) { state_.put_origin(slot, origins_[slot].record); }
  ipc::OriginRef add_origin(const ipc::OriginRecord& record, bool is_default);
  void retire_origin(std::uint32_t slot, std::string_view why);
  void index(std::uint32_t slot);
  void unindex(std::uint32_t slot);
  std::uint32_t find_identity(const ipc::OriginRegister& message) const;
  std::uint32_t find_same_endpoint(const ipc::OriginRecord& record) const;
  void replace_older_self(const ipc::OriginRecord& record);
  void retire_replaced(std::uint32_t slot, const ipc::OriginRecord& by);
  std::uint32_t longest_dead() const;
  std::uint32_t find_adopted(const ipc::OriginRecord& record) const;
  ipc::Reply heartbeat(std::uint32_t slot, const ipc::OriginRegister& message,
                       std::uint64_t now_ms);
  ipc::Reply refuse_full(const ipc::OriginRegister& message, std::uint64_t now_ms);
  void apply_static(const std::string& key, const OriginConfig& config, bool is_default,
                    std::uint64_t now_ms);
  void set_health(std::uint32_t slot, const route::Health& health, route::HealthChange change);
  void advance_time(std::uint32_t slot, std::uint64_t now_ms);
  void expire_ejections(std::uint64_t now_ms);
  void note_ejection_ends();
  void restore_home(std::uint32_t origin_slot);
  void fill_text(ipc::OriginRecord& record, const ipc::OriginRegister& message) const;

  ipc::StateWriter& state_;
  std::optional<ipc::StateView> predecessor_;
  std::uint64_t random_;
  HashSeed seed_;
  route::Policy policy_ = route::Policy::kLeastStreams;
  route::HealthSettings health_;
  std::uint64_t stream_idle_ms_ = 0;
  std::uint64_t max_sessions_ = 0;
  // Of one protocol; 0: no limit.
  struct Limits {
    std::uint64_t per_address = 0;
    std::uint64_t players = 0;
  };
  std::array<Limits, ipc::kEndpointKinds> limits_;
  bool send_client_ip_ = false;
  std::uint8_t proxy_protocol_ = 0;

  std::vector<Origin> origins_;      // by slot, up to the highest used so far
  std::vector<std::uint32_t> used_;  // slots in use
  std::unordered_multimap<std::string, std::uint32_t> by_server_;
  std::unordered_multimap<std::string, std::uint32_t> by_endpoint_;
  std::map<std::string, StaticOrigin> static_;
  BoundedSet replaced_;  // identities that a newer one replaced
  BoundedSet shared_;    // server ids that two live processes use
  std::uint64_t next_ejection_end_ms_ = 0;

  std::vector<StreamMeta> streams_;  // by slot
  std::uint32_t next_epoch_ = 0;
  std::deque<Idle> idle_;
  std::unordered_map<SessionId, Session> sessions_;
  // Sessions of each address and players of each stream, by protocol.
  std::array<Counts, ipc::kEndpointKinds> addresses_;
  std::array<Counts, ipc::kEndpointKinds> viewers_;
  std::vector<route::Candidate> candidates_;  // scratch of choose()
  std::vector<std::uint32_t> candidate_slots_;
  LogGate full_streams_log_, full_origins_log_, full_sessions_log_, no_origin_log_;
};

}  // namespace weir
