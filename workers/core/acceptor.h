// Acceptor: takes connections off a worker's inherited listen sockets. Pauses when the process is
// out of descriptors and tells the owner. Owner: a worker; must die before the event base.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "workers/core/event_ptr.h"

namespace weir {

class Acceptor {
 public:
  struct Handlers {
    // `listener` is the index of the socket that it came from.
    std::function<void(UniqueFd fd, const Endpoint& client, std::size_t listener)> on_accept;
    std::function<void(int error)> on_exhausted;
  };
  Acceptor(event_base* base, std::vector<UniqueFd> listeners, Handlers handlers);

  void start();
  // Closes this process's copies; the queues stay with the master.
  void stop();
  bool stopped() const { return listeners_.empty(); }
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
  void pause();

  std::vector<Listener> listeners_;
  Handlers handlers_;
  EventPtr again_;
};

}  // namespace weir
