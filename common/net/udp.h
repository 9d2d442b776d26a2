// UDP sockets of our own questions: of probes, and of whoever asks an origin something.
#pragma once

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/base/result.h"

namespace weir::net {

// A non-blocking socket that is connected to that address, so that it hears of closed ports.
Result<UniqueFd> connect_udp(const Endpoint& to);

}  // namespace weir::net
