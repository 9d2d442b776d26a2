// Dialing origins: what a failed connect means, and what is said before anything else.
#pragma once

#include <cerrno>
#include <cstdint>
#include <vector>

#include "common/base/endpoint.h"
#include "common/proto/proxy_protocol.h"
#include "ipc/messages.h"

namespace weir {

// The PROXY protocol header of that version (1 or 2) that tells an origin who the client is. Empty
// addresses: it is a connection of our own.
inline std::vector<std::uint8_t> proxy_header(std::uint8_t version, const Endpoint& client,
                                              const Endpoint& local) {
  std::vector<std::uint8_t> out;
  if (version == 1) {
    proxy_protocol::write_v1(out, client, local);
  } else {
    proxy_protocol::write_v2(out, client, local);
  }
  return out;
}

inline ipc::DialOutcome dial_outcome(int error) {
  switch (error) {
    case ECONNREFUSED:
      return ipc::DialOutcome::kRefused;
    case ETIMEDOUT:
      return ipc::DialOutcome::kTimeout;
    default:
      return ipc::DialOutcome::kOther;
  }
}

// What this machine lacks says nothing about the origin, which must not be ejected for it.
inline bool is_local_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
         error == EADDRNOTAVAIL;
}

}  // namespace weir
