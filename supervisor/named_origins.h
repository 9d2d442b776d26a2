// NamedOrigins: origins that are the addresses of names (`origins_from NAME:PORT { ... }`). The
// control worker asks name servers and tells what a name stands for now, one family of addresses at
// a time; here an origin is made of each address at once, drains when its address has left the
// answer, takes streams again when it is back, and goes once nobody is there.
//
//   - Silence and failures of name servers are not told: all stay.
//   - "No such name" and "no address" are believed only of origins whose probes fail, too, and have
//     for absent_timeout.
//   - An address that is an origin already is no second one: one that registered becomes the
//     name's where it is, one of the configuration stays what it is. When a name has lost an
//     address, whoever registers it has it (Origins::heartbeat).
//   - What has no slot waits for one.
//
// Owner: the Registry, beside the Origins. Messages are hostile input; bounds:
// limits::kNamedSets blocks, limits::kResolverAddresses addresses of a family, and the table.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/log_budget.h"
#include "common/config/config.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "ipc/state_writer.h"
#include "supervisor/origins.h"

namespace weir {

class NamedOrigins {
 public:
  NamedOrigins(Origins& origins, ipc::StateWriter& state) : origins_(origins), state_(state) {}

  // Origins of blocks that stay, stay; those of blocks that have gone drain. Call after
  // Origins::apply().
  void apply(const Config& config, std::uint64_t now_ms);
  // Takes over those of the predecessor, or of a file, whose blocks are here. Call after
  // Origins::adopt().
  void adopt(const ipc::StateView& predecessor, std::uint64_t now_ms);
  // That of another generation than the one that serves is dropped: it speaks of other blocks.
  void on_answer(const ipc::NamedAddresses& message, std::uint64_t now_ms);
  // Call each second. While the predecessor lives nobody here knows who is at those that left.
  void tick(std::uint64_t now_ms, bool predecessor_lives);

 private:
  static constexpr std::size_t kFamilies = 2;
  // An address of a name, or one that was and whose origin is still there.
  struct Member {
    ipc::OriginRef ref;             // see owned(): it may have become somebody else's
    bool named = false;             // the name has it now
    bool refused = false;           // counted as such; until it has a slot
    bool told_to_drain = false;     // before its address left
    std::uint64_t unproved_ms = 0;  // since when its probes fail and the name is absent; 0: not so
    std::uint64_t left_ms = 0;
  };
  struct Parts {
    std::uint32_t serial = 0;
    std::uint16_t total = 0;
    std::vector<Endpoint> rows;
  };
  struct Set {
    std::uint32_t id = 0;  // Origins::Origin::set of its members
    OriginsFromConfig config;
    bool ended = false;  // no longer configured
    std::map<Endpoint, Member, EndpointLess> members;
    std::array<Parts, kFamilies> parts;
    std::array<bool, kFamilies> absent{};  // it is said to have none
    std::uint64_t waiting = 0;
  };
  struct Change {
    std::size_t added = 0, returned = 0, drained = 0;
  };
  enum class Placed : std::uint8_t { kDone, kTaken, kFull };

  Origins::Origin* owned(const Set& set, const Member& member);
  static ipc::OriginRecord record_of(const Set& set, const Endpoint& address, std::uint64_t now_ms);
  void reconfigure(Set& set, const OriginsFromConfig& to, std::uint64_t now_ms);
  void name_as_known(Set& set);
  void end(Set& set, std::uint64_t now_ms);
  void take_answer(Set& set, std::size_t family, const std::vector<Endpoint>& addresses,
                   std::uint64_t now_ms);
  void note_absent(const Set& set, std::size_t family);
  void drain_unproved(Set& set, std::uint64_t now_ms);
  void leave(const Set& set, Member& member, std::uint64_t now_ms);
  bool come_back(Set& set, Member& member, std::uint64_t now_ms);
  Placed place(Set& set, const Endpoint& address, Member& member, std::uint64_t now_ms);
  void place_all(Set& set, Change& change, std::uint64_t now_ms);
  void remove_left(Set& set, std::uint64_t now_ms);
  void note_waiting(Set& set, std::uint64_t waiting, std::uint64_t now_ms);
  void log_one(std::string_view what, const Set& set, const ipc::OriginRecord& record,
               std::uint64_t now_ms);

  Origins& origins_;
  ipc::StateWriter& state_;
  std::map<std::string, Set> sets_;  // by OriginsFromConfig::text()
  std::vector<Set*> blocks_;         // in the order of the configuration
  std::uint32_t last_id_ = 0;
  bool predecessor_lives_ = false;  // as tick() was told last
  LogBudget log_budget_{20};
  LogBudget full_log_{1, kRefusalLogMs};
};

}  // namespace weir
