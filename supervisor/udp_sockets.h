// The UDP sockets that the master makes: slot sockets, which clients send to, and upstream sockets,
// one a session, connected to its origin. Errors: Result with the system's reason and errno.
#pragma once

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/base/result.h"

namespace weir {

// Options of a bound slot socket: the address that a datagram came to is told with it, segments of
// one sender come together (where the kernel can), queues are large.
Result<void> prepare_slot_socket(int fd, const Endpoint& address);

struct Upstream {
  UniqueFd fd;
  Endpoint local;  // its own address and port
};
// A connected socket with a port of its own; `local` of an earlier one gets that very port again.
// EMFILE: the last quarter of the descriptors, 512 at most, is left to the master's other work.
// Nothing else may share it: origins tell sessions apart by it.
Result<Upstream> open_upstream(const Endpoint& origin, const Endpoint& local = {});
// The same socket speaks to another endpoint of its origin from now on, in all processes that have
// it. Returns its own address and port. The family cannot change.
Result<Endpoint> redirect_upstream(int fd, const Endpoint& origin);

}  // namespace weir
