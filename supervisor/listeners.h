// Listen sockets, TCP and UDP. Each worker slot has its own SO_REUSEPORT socket for each address; a
// generation holds those that its workers serve, and a socket closes when the last generation that
// holds it has gone. A reload takes over every socket of an address that stays: with fewer slots
// than sockets a worker serves several, so that no queued connection is ever lost. Owner: the
// master, for as long as the slot lives; workers get copies by fork.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/base/result.h"
#include "ipc/shm_layout.h"

namespace weir {

enum class Transport : std::uint8_t { kTcp, kUdp };

struct ListenSocket {
  ipc::WorkerKind kind;
  Transport transport = Transport::kTcp;
  Endpoint address;
  UniqueFd fd;
};
using SharedListenSocket = std::shared_ptr<ListenSocket>;
using ListenSockets = std::vector<SharedListenSocket>;

// One socket, bound and listening. Errors name the address.
Result<SharedListenSocket> open_listener(ipc::WorkerKind kind, const Endpoint& address,
                                         Transport transport = Transport::kTcp);

// Fails when a foreign process listens at the address: SO_REUSEPORT alone would share it silently.
// Only for addresses that this master does not hold.
Result<void> check_free(const Endpoint& address, Transport transport = Transport::kTcp);

// The sockets for `slots` workers at `address`: all of `present` that fit, and new ones to make up
// the number.
Result<ListenSockets> plan_listeners(const ListenSockets& present, ipc::WorkerKind kind,
                                     const Endpoint& address, unsigned slots,
                                     Transport transport = Transport::kTcp);

// Which of them worker `slot` of `slots` serves.
ListenSockets share_of_slot(const ListenSockets& sockets, unsigned slot, unsigned slots);

}  // namespace weir
