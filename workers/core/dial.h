// What a failed connect to an origin means.
#pragma once

#include <cerrno>

#include "ipc/messages.h"

namespace weir {

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
