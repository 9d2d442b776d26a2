// ProxyPrelude: has a fresh connection until its PROXY protocol header is complete, takes exactly
// that off the socket, and hands the connection on under the address that the header names. What
// follows (TLS, RTMP, HTTP) finds the socket as if the client had connected itself: the header is
// looked at with MSG_PEEK and no byte behind it is touched. Owner: the Acceptor. A connection that
// is late, broken or not from a trusted network is closed without an answer, as the spec wants.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <string_view>

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/base/log_budget.h"
#include "common/base/network.h"
#include "common/proto/proxy_protocol.h"
#include "ipc/counters.h"
#include "workers/core/event_ptr.h"

namespace weir {

// A connection's client, as far as is known before a byte of its own protocol.
struct Accepted {
  Endpoint client;
  std::size_t listener = 0;  // index of the socket that it came from
  bool behind_tls = false;   // a balancer ended the client's TLS and says so
};

struct ProxySettings {
  NetworkList trusted;           // only from here headers are taken
  std::uint64_t timeout_ms = 0;  // from accept until the header is complete
};

class ProxyPrelude {
 public:
  struct Handlers {
    std::function<void(UniqueFd fd, const Accepted& who)> on_client;
    std::function<void()> on_gone;  // one waits no longer, whatever became of it
  };
  ProxyPrelude(event_base* base, ProxySettings settings, ipc::Counters& counters,
               Handlers handlers);

  // May call on_client at once. The client is the header's; the socket's own for a balancer's
  // health check and where the header does not name one.
  void take(UniqueFd fd, const Endpoint& peer, std::size_t listener);
  std::size_t size() const { return waiting_.size(); }
  void clear() { waiting_.clear(); }

 private:
  struct Waiting {
    ProxyPrelude* self = nullptr;
    std::list<Waiting>::iterator where;
    UniqueFd fd;
    Endpoint peer;
    std::size_t listener = 0;
    EventPtr readable;
    EventPtr late;
  };
  enum class Step : std::uint8_t { kWait, kDone };
  void on_event(Waiting& waiting, short what);
  Step look(Waiting& waiting);
  void refuse(const Endpoint& peer, ipc::Counter counter, std::string_view why);
  void drop(Waiting& waiting);

  event_base* base_;
  ProxySettings settings_;
  ipc::Counters& counters_;
  Handlers handlers_;
  LogBudget refusals_;
  std::list<Waiting> waiting_;
  std::array<std::uint8_t, proxy_protocol::kMaxV2Bytes> buffer_;
};

}  // namespace weir
