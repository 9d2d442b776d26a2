// NamedAnswers: follows the names of `origins_from` blocks and tells the master what each stands
// for, each family of addresses by itself, when it has changed. While name servers are silent or
// fail nothing is told, so that what was told last stays; a new worker says nothing before it
// knows.
//
// Owner: the control worker; must die before the event base, the Resolver and the MasterLink.
// Nothing is told before the worker's generation serves: the master has another one's blocks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "common/config/config.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "workers/core/event_ptr.h"
#include "workers/core/name_record.h"
#include "workers/core/resolver.h"

namespace weir::control {

class NamedAnswers {
 public:
  // False: the message is lost.
  using Send = std::function<bool(ipc::NamedAddresses&)>;

  NamedAnswers(event_base* base, const Config& config, std::uint32_t generation,
               const ipc::StateView& state, Resolver& resolver, Send send);

  void stop();

 private:
  // What the master was told of one family.
  struct Told {
    bool anything = false;
    std::vector<Endpoint> addresses;  // empty: the name is absent
  };
  struct Name {
    Resolver::Watch watch;
    std::array<Told, NameRecord::kFamilies> told;
  };

  void tick();
  void look_at(std::uint32_t block, std::size_t family);
  bool tell(std::uint32_t block, std::size_t family, const std::vector<Endpoint>& addresses);

  const ipc::StateView& state_;
  std::uint32_t generation_;
  Send send_;
  std::vector<Name> names_;  // one a block
  std::uint32_t serial_ = 0;
  EventPtr timer_;
};

}  // namespace weir::control
