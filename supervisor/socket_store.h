// SocketStore: the listen sockets that systemd keeps for us while no master lives (the unit's
// FileDescriptorStoreMax; sd_notify(3), sd_listen_fds(3)). A service that is restarted, or whose
// master was killed, goes on with the same sockets and with what waits in their queues: no client
// is refused meanwhile. Without systemd nothing happens. Owner: the master.
#pragma once

#include <set>
#include <string>

#include "supervisor/listeners.h"
#include "supervisor/notify.h"

namespace weir {

class SocketStore {
 public:
  // What an earlier master has stored, if anything; the variables are removed from the environment.
  ListenSockets take();
  // Those that this master has from another one are stored already.
  void expect(const ListenSockets& sockets);
  // From now on these are stored, and no others.
  void keep(const ListenSockets& sockets, const Notifier& notifier);

 private:
  std::set<std::string> names_;  // that are stored
};

}  // namespace weir
