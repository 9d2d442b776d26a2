// TCP sockets: non-blocking connects and the options that both legs of a relay get.
#pragma once

#include <cstdint>

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/base/result.h"

namespace weir::net {

struct TcpOptions {
  std::uint64_t keepalive_ms = 0;     // idle time before keep-alive probes; 0: off
  std::uint64_t user_timeout_ms = 0;  // TCP_USER_TIMEOUT; 0: the system's
};

// No Nagle, keep-alive and user timeout. A kernel that refuses one of them costs nothing else.
void set_tcp_options(int fd, const TcpOptions& options);

// Starts a connect; it is done when the socket is writable (then take_socket_error). Errors that
// the kernel knows at once come back here.
Result<UniqueFd> start_connect(const Endpoint& to, const TcpOptions& options);

// The address that a socket, of whatever kind, is bound to; empty when it cannot be told.
Endpoint local_address(int fd);

// SO_ERROR of a socket, which reading clears. 0: fine.
int take_socket_error(int fd);

}  // namespace weir::net
