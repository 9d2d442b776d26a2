// UpstreamPool: keep-alive connections to origins that wait for the next request. Owner: the
// worker. A connection in the pool has no request under way; what an origin does to it meanwhile (a
// close, a stray byte) is noticed when it is taken.
//
// A connection stays in the event set, with one token, from its connect to its close: taking it in
// and out for each request was a tenth of what a small one costs. So the pool also knows whose
// request a connection has now. A token names the descriptor and, because descriptors are used
// again within one batch of events, how often it was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/net/tls_stream.h"
#include "workers/core/poller.h"
#include "workers/core/side.h"

namespace weir::http {

class UpstreamPool {
 public:
  UpstreamPool(std::size_t idle_per_origin, std::uint64_t idle_ms)
      : idle_per_origin_(idle_per_origin), idle_ms_(idle_ms) {}

  struct Connection {
    UniqueFd fd;
    std::unique_ptr<net::TlsStream> tls;  // of fd; null: plain
  };
  // Place and generation of a client's connection in the worker's table.
  struct User {
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
  };
  // A connection is new; its token for the event set.
  std::uint64_t open(int fd, User user);
  std::uint64_t token_of(int fd) const;
  // Who is to hear of an event; nobody if the connection is closed, or waits here.
  std::optional<User> user_of(const Token& token) const;

  // An open connection to that endpoint; empty when there is none.
  Connection take(const Endpoint& origin, User user);
  // The same as a Side that can be written to. False: there is none.
  bool take_into(const Endpoint& origin, User user, Side& into);
  void give_back(const Endpoint& origin, Connection connection, std::uint64_t now_ms);
  // Closes what has waited for too long. Call it about once a second.
  void sweep(std::uint64_t now_ms);
  void clear() { idle_.clear(); }  // closed descriptors leave the event set by themselves
  std::size_t size() const;

 private:
  struct Idle {
    Connection connection;
    std::uint64_t since_ms = 0;
  };
  struct Open {
    std::uint32_t generation = 0;
    User user;
    bool idle = false;
  };
  std::size_t idle_per_origin_;
  std::uint64_t idle_ms_;
  std::map<Endpoint, std::vector<Idle>, EndpointLess> idle_;
  std::vector<Open> open_;  // by descriptor
};

}  // namespace weir::http
