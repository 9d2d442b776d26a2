// UpstreamPool: keep-alive connections to origins that wait for the next request. Owner: the
// worker. A connection in the pool has no request under way; what an origin does to it meanwhile (a
// close, a stray byte) is noticed when it is taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/net/tls_stream.h"

namespace weir::http {

class UpstreamPool {
 public:
  UpstreamPool(std::size_t idle_per_origin, std::uint64_t idle_ms)
      : idle_per_origin_(idle_per_origin), idle_ms_(idle_ms) {}

  struct Connection {
    UniqueFd fd;
    std::unique_ptr<net::TlsStream> tls;  // of fd; null: plain
  };
  // An open connection to that endpoint; empty when there is none.
  Connection take(const Endpoint& origin);
  void give_back(const Endpoint& origin, Connection connection, std::uint64_t now_ms);
  // Closes what has waited for too long. Call it about once a second.
  void sweep(std::uint64_t now_ms);
  void clear() { idle_.clear(); }
  std::size_t size() const;

 private:
  struct Idle {
    Connection connection;
    std::uint64_t since_ms = 0;
  };
  struct Less {
    bool operator()(const Endpoint& a, const Endpoint& b) const {
      return std::memcmp(&a, &b, sizeof a) < 0;  // no padding: endpoint.h asserts the size
    }
  };

  std::size_t idle_per_origin_;
  std::uint64_t idle_ms_;
  std::map<Endpoint, std::vector<Idle>, Less> idle_;
};

}  // namespace weir::http
