// OriginNames: looks up the host names of the origins in the shared state and tells the master what
// each stands for. An origin is one server, so it has one address a name at a time: as long as that
// is among the name's addresses and the origin answers, it stays, whatever order name servers give.
// Otherwise all addresses are tried by a connection at once; the present one is chosen if it takes
// it, else the first that does.
//
// Owner: the control worker; must die before the event base, the Resolver and the MasterLink. What
// is told is compared with the state at each turn, so a lost message is repeated. Bounds: names are
// the Resolver's, kTried addresses of one are tried.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "common/base/fd.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "workers/core/event_ptr.h"
#include "workers/core/resolver.h"

namespace weir::control {

class OriginNames {
 public:
  using Send = std::function<void(ipc::OriginAddress&)>;

  OriginNames(event_base* base, const ipc::StateView& state, Resolver& resolver, Send send);

  void stop();

 private:
  struct Name;
  // A connection to one address of a name.
  struct Try {
    OriginNames* owner = nullptr;
    Name* name = nullptr;
    Endpoint address;
    UniqueFd fd;
    EventPtr event;
  };
  struct Name {
    ipc::OriginRef origin;
    std::uint32_t host = 0;
    Resolver::Watch watch;
    Endpoint chosen;  // empty: the address in the state is as good as any
    std::vector<std::unique_ptr<Try>> tries;
    Endpoint first;  // of the tries that took a connection; the present address may still do so
    std::uint64_t tries_end_ms = 0;
    std::uint64_t next_tries_ms = 0;
    bool seen = false;
  };
  using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>;  // slot, generation, host

  void tick();
  void look_at(const ipc::OriginRef& ref, const ipc::OriginRecord& record, std::uint64_t now_ms);
  void choose(Name& name, const ipc::OriginRecord& record, std::uint64_t now_ms);
  void begin_tries(Name& name, std::uint16_t port, std::uint64_t now_ms);
  void on_connect(Try& one);
  void end_tries(Name& name, std::uint64_t now_ms);
  void arm_soon() { arm(timer_, 0); }

  event_base* base_;
  const ipc::StateView& state_;
  Resolver& resolver_;
  Send send_;
  std::map<Key, Name> names_;
  EventPtr timer_;
};

}  // namespace weir::control
