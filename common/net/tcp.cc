#include "common/net/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace weir::net {
namespace {

void set_int(int fd, int level, int name, int value) {
  // Best effort: a missing option changes how fast a dead peer is seen, not what is relayed.
  static_cast<void>(::setsockopt(fd, level, name, &value, sizeof value));
}

}  // namespace

void set_tcp_options(int fd, const TcpOptions& options) {
  set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.keepalive_ms > 0) {
    const int idle =
        static_cast<int>(std::clamp<std::uint64_t>(options.keepalive_ms / 1000, 1, 32767));
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, std::max(1, idle / 4));
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
  }
  if (options.user_timeout_ms > 0) {
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(options.user_timeout_ms));
  }
}

Result<UniqueFd> start_connect(const Endpoint& to, const TcpOptions& options) {
  sockaddr_storage address;
  const socklen_t length = to_sockaddr(to, address);
  if (length == 0) return fail("no address to connect to");
  UniqueFd fd(::socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket", errno);
  set_tcp_options(fd.get(), options);
  // The socket API takes every address family through this one pointer type.
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0 &&
      errno != EINPROGRESS) {
    return fail_errno("connect to " + to_string(to), errno);
  }
  return fd;
}

Endpoint local_address(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  // The socket API takes every address family through this one pointer type.
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return {};
  return from_sockaddr(address);
}

int take_socket_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

}  // namespace weir::net
