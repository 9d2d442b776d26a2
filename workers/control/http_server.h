// HttpServer: the HTTP/1.1 side of the System API: listeners, connections, limits, deadlines.
//
// libevhtp's parser (evhtp/parser.h) reads the requests; connections are our own, because
// libevhtp's do not continue with a pipelined request, close on a parse error or an oversized body
// without an answer, and bound neither the number of headers nor the time of a whole request. The
// parser gets each request's head in one piece: it garbles a path that arrives in several.
//
//            +---------------- answered, keep-alive ----------------+
//            v                                                      |
//   kReading --request complete--> kAnswering --respond()--> kFlushing
//      |  too large, too slow, not HTTP                             | last answer
//      +------------------> kLingering (answer sent, input thrown away until EOF or deadline)
//
// A handler gets a token {slot, generation} and answers by it, at once or later; a token whose
// connection has gone is ignored. Owner: the control worker; must die before the event base.
#pragma once

#include <evhtp/parser.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <event2/bufferevent.h>

#include "common/base/fd.h"
#include "workers/control/http_message.h"
#include "workers/core/acceptor.h"
#include "workers/core/event_ptr.h"

namespace weir::control {

struct HttpToken {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
};

struct HttpSettings {
  std::size_t max_connections = 1024;
  std::uint64_t request_timeout_ms = 10000;  // for one whole request, and for idle keep-alive
  std::size_t max_body = 64 * 1024;
  bool proxy_protocol = false;
  ProxySettings proxy;
  AccessList access;
};

class HttpServer {
 public:
  struct Handlers {
    std::function<void(const HttpRequest&, HttpToken)> on_request;
    // The server itself refused something with this status: for counters.
    std::function<void(int status)> on_refused;
    std::function<void()> on_idle;  // stop() was called and the last connection has gone
  };

  HttpServer(event_base* base, std::vector<UniqueFd> listeners, const HttpSettings& settings,
             ipc::Counters& counters, Handlers handlers);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  bool listening() const { return acceptor_.listeners() > 0; }
  void respond(HttpToken token, const HttpResponse& response);
  // Accepts nothing more; idle connections close now, the others after their answer. Who has just
  // connected is about to ask, and gets a moment to do so.
  void stop();
  std::size_t connections() const { return active_; }

 private:
  enum class Phase : std::uint8_t { kFree, kReading, kAnswering, kFlushing, kLingering };
  struct BuffereventDeleter {
    void operator()(bufferevent* bev) const { bufferevent_free(bev); }
  };
  struct ParserDeleter {
    void operator()(htparser* parser) const;
  };
  struct Conn {
    HttpServer* server = nullptr;
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    Phase phase = Phase::kFree;
    bool keep_alive = true;
    bool complete = false;   // the parser has seen the end of the request
    bool begun = false;      // its first byte is there
    bool answered = false;   // at least once
    bool head_done = false;  // the parser has had the head
    bool head_only = false;
    bool in_loop = false;  // process() is on the stack
    bool input_ended = false;
    int refuse_status = 0;    // set by a parser hook
    std::size_t scanned = 0;  // of the input: holds no end of the head
    std::size_t header_count = 0;
    std::size_t header_bytes = 0;
    std::size_t discarded = 0;  // while lingering
    std::uint64_t deadline_ms = 0;
    std::uint64_t idle_since_ms = 0;  // accepted, or answered last
    std::string header_name;
    bool has_length = false;
    bool chunked = false;
    bool expects_continue = false;
    HttpRequest request;
    std::unique_ptr<bufferevent, BuffereventDeleter> bev;
    std::unique_ptr<htparser, ParserDeleter> parser;
  };
  struct ParserHooks;  // htparser's callbacks

  void on_accept(UniqueFd socket, const Endpoint& client);
  void on_input(Conn& conn);
  void on_flushed(Conn& conn);
  void on_event(Conn& conn, short what);
  void process(Conn& conn);
  std::size_t parseable(Conn& conn, std::string_view input);
  void after_parse(Conn& conn);
  void finish_answer(Conn& conn);
  void end_after_output(Conn& conn);
  void refuse(Conn& conn, int status);
  void linger(Conn& conn);
  void discard(Conn& conn);
  void close(Conn& conn);
  void leave_if_idle();
  void sweep();
  bool close_one_idle();
  void reset_request(Conn& conn);

  event_base* base_;
  HttpSettings settings_;
  Handlers handlers_;
  htparse_hooks hooks_;
  std::vector<std::unique_ptr<Conn>> conns_;  // by slot; addresses are stable
  std::vector<std::uint32_t> free_;
  std::size_t active_ = 0;
  bool stopping_ = false;
  EventPtr sweep_timer_;
  Acceptor acceptor_;
};

}  // namespace weir::control
