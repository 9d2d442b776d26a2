// http::Server: the HTTP/1.1 server of a worker, whatever its requests are about: accept, TLS,
// limits, heads, pipelining, request bodies, own answers, lingering close, deadlines, access log.
// Rooms (http_room.h) answer the requests. Owner: the worker; must die before the event base.
//
//   accepted -> [TLS] -> head -> room -> answered -> next head ...   or closing -> [lingering] ->
//   end
//                          ^                 |
//                          +-----------------+          or detach(): the socket becomes the room's
//
// The loop: serve() moves a connection's bytes, round by round, until nothing moves. It runs for
// one connection at a time and never from below itself: whoever changes something (a room, an
// answer, a timer) calls wake(), which marks the connection; if it is the one being served its
// next round comes at once, else it waits in `ready_` for the next turn of the event loop. So any
// number of requests that are answered at once need the stack of one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/access_list.h"
#include "common/base/log_budget.h"
#include "common/base/network.h"
#include "common/proto/http/head.h"
#include "ipc/counters.h"
#include "workers/core/acceptor.h"
#include "workers/core/event_ptr.h"
#include "workers/core/http_access.h"
#include "workers/core/http_busy.h"
#include "workers/core/http_connection.h"
#include "workers/core/http_limits.h"
#include "workers/core/http_meters.h"
#include "workers/core/http_room.h"
#include "workers/core/poller.h"
#include "workers/core/tcp_worker.h"
#include "workers/core/tls_listener.h"

namespace weir::http {

// How the clients of a port are told of an error of the server's own.
struct ErrorText {
  int status = 400;
  std::string_view content_type;
  std::string body;
};

// What distinguishes the clients of one listen address.
struct Port {
  Endpoint listen;
  bool tls = false;
  bool local = false;  // a Unix socket, which has no address
  bool proxy_protocol = false;
  CorsMode cors = CorsMode::kOff;
  std::string_view protocol;  // for the access log; empty: http or https
  std::string_view methods;   // that a preflight is told of
  AccessList access;
  HeadLimits head;
  bool access_logged = true;  // its requests have lines in the access log
  // What the server refuses by itself (bad heads, limits, time limits): status and reason come in,
  // the answer goes out. Empty: plain text, and no answer to whom max_connections keeps out or
  // whose head does not come in time.
  std::function<ErrorText(int status, std::string_view why)> error_form;
  std::vector<Room*> rooms;  // asked in this order; the last one takes all
};

struct ServerSettings {
  std::uint64_t request_timeout = 0;  // all in milliseconds
  std::uint64_t keepalive_timeout = 0;
  std::uint64_t stall_timeout = 0;
  std::uint64_t linger_timeout = 0;
  std::uint64_t handshake_timeout = 0;  // TLS
  std::uint64_t tcp_keepalive = 0;
  std::uint64_t drain_timeout = 0;     // for a first request once drain() was called; 0: no other
  bool idle_makes_room = false;        // for a new client, where max_connections is reached
  std::uint64_t descriptors_each = 2;  // of a client: its own and an origin's
  LimitSettings limits;
  ProxySettings proxy;
};

// A response of our own, whole.
struct Answer {
  int status = 200;
  std::string_view content_type = "text/plain; charset=utf-8";
  std::string_view body;
  std::string_view allow = {};
  bool close = false;  // and what the client still sends is thrown away
  std::string_view location = {};
  std::uint64_t retry_after = 0;                                             // seconds
  const std::vector<std::pair<std::string, std::string>>* fields = nullptr;  // instead of ours
};

class Server {
 public:
  struct Handlers {
    std::function<void()> on_end;       // a connection, or one that was pending, has gone
    std::function<void()> on_shortage;  // descriptors are short: give back what can be spared
    std::function<std::uint64_t()> spare_descriptors;  // that rooms hold beside the clients'
    // An event of a room's own socket (below).
    std::function<void(std::uint64_t token, std::uint32_t events)> on_room_event = {};
  };
  // `next_session` and `tls` (may be null: no TLS ports) outlive this.
  Server(event_base* base, std::vector<UniqueFd> listeners, const ServerSettings& settings,
         const Meters& meters, net::TlsServer* tls, ipc::Counters& counters,
         SessionId& next_session, Handlers handlers);
  // Before start(). A listener that no port names gets the first one.
  void add_port(Port port) { ports_.push_back(std::make_unique<Port>(std::move(port))); }
  void start();

  // ---- for the worker

  // Takes no new client; those that wait for a next request are closed, others after their answer.
  void drain();
  void end_all(EndReason reason);
  const ConnTable<Connection>& connections() const { return conns_; }
  bool idle() const { return conns_.active() + acceptor_.pending() == 0; }
  void set_elsewhere(std::uint64_t connections) { limits_.set_elsewhere(connections); }

  // ---- for rooms

  Connection& operator[](std::uint32_t index) { return conns_[index]; }
  ConnHandle handle(std::uint32_t index) const { return {index, conns_[index].generation}; }
  bool valid(ConnHandle handle) const { return conns_.valid(handle.index, handle.generation); }
  const NetworkList& trusted() const { return settings_.limits.trusted; }
  // Room for one read. Its content lasts until the next call of anybody.
  MutableBytes scratch() { return read_buffer_; }
  // The exchange of this request, which needs its body of at most `most` bytes: on_body() follows.
  void collect_body(std::uint32_t index, const RequestHead& head, std::size_t most);
  // REQUIRES: no part of another response was sent.
  void answer(std::uint32_t index, const Answer& what);
  // The same for an error of the server's own or like one, in the port's form.
  void refuse(std::uint32_t index, Answer what);
  // A log line about a request that is its client's fault. There may be none: a flood of them must
  // not fill the log.
  void note_refused(std::uint32_t index, std::string_view path, std::string_view reason);
  // Something has changed: the loop shall look at this connection.
  void wake(std::uint32_t index);
  // The event set, also for rooms' own sockets, whose tokens have side 1: one set for both is
  // looked at once where two would be twice.
  EpollSet& events() { return poller_; }
  // After an event of a room's own socket: like one of the client's.
  void serve(std::uint32_t index);
  // Ends the connection at once, whatever it has under way.
  void end(std::uint32_t index, EndReason reason);
  // The exchange goes on without the server, which keeps the connection's place until end().
  // REQUIRES: all output is written.
  Side detach(std::uint32_t index);
  // Bytes that have gone by without the server's own reading or writing.
  void note_moved(std::uint32_t index, std::uint64_t from_client, std::uint64_t to_client);
  // Writes what the client takes at once, before an end.
  void flush_last(std::uint32_t index);

 private:
  // http_server.cc: connections and time
  void on_accept(UniqueFd fd, const Accepted& who);
  void on_ready(std::uint64_t token, std::uint32_t events);
  void on_turn();
  void on_timer();
  void check_deadline(std::uint32_t index, std::uint64_t now);
  void on_head_timeout(std::uint32_t index);

  // http_serve.cc: a connection's bytes
  bool step(std::uint32_t index);
  bool shake(std::uint32_t index);
  bool write_client(std::uint32_t index, bool& progress);
  bool on_all_written(std::uint32_t index, bool& progress);
  bool read_client(std::uint32_t index, bool& progress);
  bool on_client_end(std::uint32_t index, bool in_order);
  void next_request(std::uint32_t index, bool& progress);
  void begin(std::uint32_t index, const RequestHead& head);
  bool may_ask(std::uint32_t index, const RequestHead& head, Exchange& basics);
  void take_body(std::uint32_t index, bool& progress);
  void finish_exchange(std::uint32_t index, EndReason reason);

  event_base* base_;
  const ServerSettings settings_;
  const Meters& meters_;
  ipc::Counters& counters_;
  net::TlsServer* tls_;
  SessionId& next_session_;
  Handlers handlers_;
  Limits limits_;
  AccessBook book_;
  Poller poller_;
  std::vector<std::unique_ptr<Port>> ports_;
  std::vector<const Port*> listener_ports_;
  Acceptor acceptor_;
  EventPtr timer_;
  EventPtr turn_;
  ConnTable<Connection> conns_;
  BusyList busy_{conns_};          // all but the detached ones
  std::vector<ConnHandle> ready_;  // to be served in the next turn
  std::optional<std::uint32_t> serving_;
  int begun_ = 0;  // requests, since serving_ was set
  std::vector<std::uint8_t> read_buffer_;
  bool draining_ = false;
  LogBudget refusals_{20};
  LogBudget tls_failures_{20};
};

}  // namespace weir::http
