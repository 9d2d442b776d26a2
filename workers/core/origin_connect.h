// OriginConnect: one TCP connection to an origin (or to the operator's own server), from the
// connect to the moment when the protocol may speak: TCP, then the PROXY protocol header if the
// origin wants one, then TLS. OriginDialer, probes, calls of the API and hooks stand on it.
//
// Owner: a worker; keeps no connection, all of a connection's state is in its Side. Errors are
// values: what a failure says about the origin, and a text for people.
#pragma once

#include <functional>
#include <string>

#include "common/base/endpoint.h"
#include "common/net/tcp.h"
#include "ipc/messages.h"
#include "workers/core/origin_tls.h"
#include "workers/core/side.h"

namespace weir {

struct ConnectTarget {
  Endpoint endpoint;
  std::string tls_name;             // in its certificate; "": its IP address
  std::uint8_t proxy_protocol = 0;  // version of the header that it gets; 0: none
  Endpoint client;                  // whom the header names; empty: the connection is our own
  Endpoint local;                   // where that client connected to
};
// `endpoint`: one of that kind of the record.
ConnectTarget target_of(const ipc::OriginRecord& record, ipc::EndpointKind kind,
                        const Endpoint& endpoint);

struct ConnectStep {
  enum class State : std::uint8_t { kWaiting, kOpen, kFailed };
  State state = State::kWaiting;
  // kFailed: what is held against the endpoint; kOk: nothing, the cause is here.
  ipc::DialOutcome outcome = ipc::DialOutcome::kOk;
  std::string why;
};

class OriginConnect {
 public:
  // Puts a descriptor into the owner's event set, with kSideEvents. False: there is no room.
  using Watch = std::function<bool(int fd)>;

  OriginConnect(OriginTls& tls, const net::TcpOptions& options) : tls_(tls), options_(options) {}

  // Begins; never kOpen. What `side` had is dropped.
  ConnectStep start(Side& side, const ConnectTarget& target, const Watch& watch);
  // After each Side::note() until it is open. kOpen: what is to be said first waits in side.out.
  ConnectStep go_on(Side& side, const ConnectTarget& target);

 private:
  ConnectStep shake(Side& side, const ConnectTarget& target, ByteView first);

  OriginTls& tls_;
  net::TcpOptions options_;
};

}  // namespace weir
