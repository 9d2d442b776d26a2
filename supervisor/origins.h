// Origins: which there are, who they are, how they are (DESIGN section 6). Configured ones and
// those that register; identity, replacement and adoption from the master before this one in
// origins.cc, what their host names stand for in origin_names.cc, health and the probes that it
// asks for in origin_health.cc. The only writer of origin records. Owner: the Registry, which keeps
// streams and sessions and is told when an origin goes.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/log_budget.h"
#include "common/config/config.h"
#include "common/route/health.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "ipc/state_writer.h"
#include "supervisor/origin_index.h"

namespace weir {

// Between two lines of the master about what is refused again and again.
inline constexpr std::uint64_t kRefusalLogMs = 10000;

class Origins {
 public:
  // What was configured or registered: endpoints may have Family::kName.
  struct Wanted {
    Endpoint ip;
    std::uint8_t count[ipc::kEndpointKinds] = {};
    Endpoint endpoints[ipc::kEndpointKinds][limits::kEndpointsPerKind] = {};
  };
  struct Origin {
    Wanted wanted;
    ipc::OriginRecord record;  // what the shared memory shows; free when nobody's
    std::uint64_t id = 0;      // the same for the same server in another slot or master
    std::int64_t credit = 0;   // of round_robin
    bool is_default = false;
    std::uint32_t set = 0;  // whose it is among NamedOrigins, while its record is named
    // When a client's failed dial may next cost a probe.
    std::array<std::uint64_t, ipc::kEndpointKinds> next_probe_ms{};
  };
  // The origin of the slot is about to go: nothing may point there any more.
  using Retired = std::function<void(std::uint32_t slot)>;

  Origins(ipc::StateWriter& state, Retired retired);

  void apply(const Config& config, std::uint64_t now_ms);
  // Takes over the registered origins of the predecessor and says how many they are. With
  // `ended_ms` it has ended, and its state is not trusted: those that were not dead are unproven,
  // and as heard of then.
  std::size_t adopt(const ipc::StateView& predecessor,
                    std::optional<std::uint64_t> ended_ms = std::nullopt);
  ipc::Reply register_origin(const ipc::OriginRegister& message, std::uint64_t now_ms);
  ipc::Reply command(const ipc::OriginCommand& message);

  // The control worker has looked a name up. Sessions and streams stay; new ones go there.
  void set_address(const ipc::OriginAddress& message);

  // nullptr: it has gone.
  Origin* find(ipc::OriginRef ref);
  const Origin* find(ipc::OriginRef ref) const;
  // REQUIRES: a slot in use.
  Origin& at(std::uint32_t slot) { return origins_[slot]; }
  const Origin& at(std::uint32_t slot) const { return origins_[slot]; }
  const std::vector<std::uint32_t>& used() const { return used_; }
  ipc::OriginRef ref_of(std::uint32_t slot) const;
  // Shows the record to everyone. Call after each change of it.
  void publish(std::uint32_t slot);
  // Which origin here is that one of the predecessor; kNoSlot: none.
  std::uint32_t find_adopted(const ipc::OriginRecord& record) const;

  // A client's dial failed before the endpoint said a word: that decides nothing, but asks for a
  // probe, at most one a second and endpoint.
  void report_dial(ipc::OriginRef ref, ipc::EndpointKind kind, std::uint64_t now_ms);
  void report_probe(ipc::OriginRef ref, ipc::EndpointKind kind, bool ok, std::uint64_t now_ms);
  // TTLs and ends of ejections. Call each second and at next_timer_ms().
  void tick(std::uint64_t now_ms);
  // The same for ejections alone, when one may have ended.
  void expire_ejections(std::uint64_t now_ms);
  std::uint64_t next_timer_ms() const { return next_change_ms_; }  // 0: none
  // Probes asked for since the last call.
  std::vector<ipc::ProbeNow> take_probes();

 private:
  friend class NamedOrigins;  // adds, changes and removes those of names
  struct StaticOrigin {
    OriginConfig config;
    ipc::OriginRef ref;
  };
  // What the configuration says of all origins that are not in it.
  struct Registered {
    bool send_client_ip = false;
    std::uint8_t proxy_protocol = 0;
    ipc::LearnMode learn_mode = ipc::LearnMode::kAuto;

    // True: it said otherwise.
    bool apply_to(ipc::OriginRecord& record) const;
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

  ipc::OriginRef add(const ipc::OriginRecord& record, bool is_default);
  void retire(std::uint32_t slot, std::string_view why);
  std::uint32_t find_identity(const ipc::OriginRegister& message) const;
  std::uint32_t find_same_endpoint(const ipc::OriginRecord& record) const;
  void replace_older_self(const ipc::OriginRecord& record);
  void retire_replaced(std::uint32_t slot, const ipc::OriginRecord& by);
  ipc::Reply heartbeat(std::uint32_t slot, const ipc::OriginRegister& message,
                       std::uint64_t now_ms);
  ipc::Reply refuse_full(const ipc::OriginRegister& message, std::uint64_t now_ms);
  void apply_static(const std::string& key, const OriginConfig& config, bool is_default,
                    std::uint64_t now_ms);
  std::uint32_t place_static(ipc::OriginRecord record, bool is_default, ipc::OriginRef before);
  void configure(std::uint32_t slot, const ipc::OriginRecord& to, bool is_default = false);
  StaticOrigin* static_of(std::uint32_t slot);

  // origin_names.cc
  void set_wanted(Origin& origin, const ipc::OriginRecord& wanted);
  bool join_same(std::uint32_t slot);
  void learn_addresses(std::uint32_t slot, const ipc::OriginRecord& from);

  // origin_health.cc
  void note_heartbeat(std::uint32_t slot, std::uint64_t now_ms);
  void advance(std::uint32_t slot, std::uint64_t now_ms);
  void advance_endpoints(std::uint32_t slot, std::uint64_t now_ms);
  void note_change(std::uint32_t slot, ipc::EndpointKind kind, route::HealthChange change);
  void note_next_change();

  ipc::StateWriter& state_;
  Retired retired_;
  route::HealthSettings health_;
  Registered registered_;
  std::vector<Origin> origins_;      // by slot, up to the highest used so far
  std::vector<std::uint32_t> used_;  // slots in use
  OriginIndex index_;
  std::map<std::string, StaticOrigin> static_;
  BoundedSet replaced_;  // identities that a newer one replaced
  BoundedSet shared_;    // server ids that two live processes use
  std::uint64_t next_change_ms_ = 0;
  std::vector<ipc::ProbeNow> probes_;
  LogBudget full_log_{1, kRefusalLogMs};
};

// Whose endpoint of this kind that is; kNoSlot when it is nobody's.
ipc::OriginRef find_endpoint(const Origins& origins, ipc::EndpointKind kind,
                             const Endpoint& endpoint);
// The only origin at this address that names no endpoint of that kind; none when there are several.
ipc::OriginRef find_host(const Origins& origins, ipc::EndpointKind without,
                         const Endpoint& address);

// By which an origin is found.
OriginIndex::Keys keys_of(const Origins::Origin& origin);

// A configured origin as the shared memory shows it, with names in place of addresses.
ipc::OriginRecord static_record(const OriginConfig& config, std::uint64_t now_ms);

// What a block says of an origin beside its name, its endpoints and draining.
void copy_options(ipc::OriginRecord& record, const ipc::OriginRecord& from);

// What the API said of draining holds on, unless the configuration has changed its mind since.
void keep_draining(ipc::OriginRecord& record, const ipc::OriginRecord& before);

// What log lines say of an origin.
LogLine& describe(LogLine& line, const ipc::OriginRecord& record);

}  // namespace weir
