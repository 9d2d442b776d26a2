// What an old master sends the new one at an upgrade (SIGUSR2): each session with its upstream
// socket, so that neither a packet nor a port is lost. One SOCK_SEQPACKET message a session, with
// the socket as SCM_RIGHTS; the end of the connection is the end of the list. Both are masters, but
// they may be of different releases: a message that is not understood is left out, and logged.
#pragma once

#include <cstdint>

#include "ipc/flow_table.h"

namespace weir {

struct FlowHandover {
  std::uint32_t magic = ipc::kFlowMagic;
  std::uint32_t version = ipc::kFlowVersion;
  std::uint32_t slot = ipc::kNoSlot;
  std::uint32_t reserved = 0;
  ipc::FlowRecord record;
};
static_assert(sizeof(FlowHandover) <= limits::kIpcMessageBytes);

}  // namespace weir
