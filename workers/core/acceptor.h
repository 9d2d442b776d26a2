// Acceptor: takes connections off a worker's inherited listen sockets, as long as there are
// descriptors for them and for what they will need later; else it pauses, says so once, and the
// clients wait in the listen queue. Owner: a worker; must die before the event base.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "workers/core/event_ptr.h"

namespace weir {

class Acceptor {
 public:
  struct Load {
    std::uint64_t connections = 0;
    std::uint64_t descriptors = 0;  // that these have now or may come to need
  };
  struct Handlers {
    // `listener` is the index of the socket that it came from.
    std::function<void(UniqueFd fd, const Endpoint& client, std::size_t listener)> on_accept;
    std::function<Load()> load;
    std::function<void()> on_pause;  // accepting stops for a moment, for want of descriptors
  };
  // A client that is accepted takes `descriptors_each`: its own and, later, one to an origin.
  Acceptor(event_base* base, std::vector<UniqueFd> listeners, std::uint64_t descriptors_each,
           Handlers handlers);

  void start();
  // Closes this process's copies; the queues stay with the master.
  void stop();
  bool stopped() const { return listeners_.empty(); }
  std::size_t listeners() const { return listeners_.size(); }
  // The address that a listener is bound to.
  Endpoint address(std::size_t listener) const;

 private:
  struct Listener {
    Acceptor* self = nullptr;
    std::size_t index = 0;
    UniqueFd fd;
    EventPtr event;
  };
  void on_ready(Listener& listener);
  bool descriptors_left() const;
  void pause(std::string_view why);

  std::vector<Listener> listeners_;
  std::uint64_t descriptors_each_;
  std::uint64_t descriptor_limit_;
  Handlers handlers_;
  EventPtr again_;
  bool said_so_ = false;  // that it pauses
};

}  // namespace weir
