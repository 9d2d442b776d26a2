// Dialing origins: what a failed connect means, and what is said before anything else.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
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

// Until when one of several addresses may take its time: those that are left, this one among them,
// share what is left until the deadline, but none gets less than kAddressMinMs of it.
inline constexpr std::uint64_t kAddressMinMs = 100;
inline std::uint64_t address_until_ms(std::uint64_t now_ms, std::uint64_t deadline_ms,
                                      std::size_t addresses_left) {
  const std::uint64_t left = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
  const std::uint64_t share = left / std::max<std::size_t>(addresses_left, 1);
  return now_ms + std::max(share, std::min(kAddressMinMs, left));
}

}  // namespace weir
