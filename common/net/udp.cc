#include "common/net/udp.h"

#include <sys/socket.h>

#include <cerrno>

namespace weir::net {

// The cast is what the one C interface for all address families asks for.
Result<UniqueFd> connect_udp(const Endpoint& to) {
  sockaddr_storage address{};
  const socklen_t length = to_sockaddr(to, address);
  UniqueFd fd(::socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    return fail_errno("cannot connect to " + to_string(to), errno);
  }
  return fd;
}

}  // namespace weir::net
