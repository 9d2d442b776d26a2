#include "workers/control/http_server.h"

#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/control/text.h"

namespace weir::control {
namespace {

constexpr std::size_t kReadHigh = 64 * 1024;        // input that waits in a connection
constexpr std::size_t kOutputHigh = 256 * 1024;     // then pipelined requests wait
constexpr std::size_t kMaxHeaders = 64;             // in one request
constexpr std::size_t kMaxHeaderBytes = 16 * 1024;  // names and values
constexpr std::size_t kMaxHeadBytes = 24 * 1024;    // request line and headers as they came
constexpr std::uint64_t kIdleMs = 1000;             // then a connection may have to make room
constexpr std::uint64_t kFreshMs = 3000;            // to ask, when the worker leaves
constexpr std::uint64_t kLingerMs = 2000;
constexpr std::size_t kLingerBytes = 64 * 1024 * 1024;  // thrown away, never kept
constexpr std::uint64_t kAnswerMs = 30000;  // backstop; the API has its own, shorter one
constexpr std::uint64_t kSweepMs = 100;

HttpMethod method_of(htp_method method) {
  if (method == htp_method_GET) return HttpMethod::kGet;
  if (method == htp_method_HEAD) return HttpMethod::kHead;
  if (method == htp_method_POST) return HttpMethod::kPost;
  if (method == htp_method_PUT) return HttpMethod::kPut;
  if (method == htp_method_DELETE) return HttpMethod::kDelete;
  if (method == htp_method_OPTIONS) return HttpMethod::kOptions;
  return HttpMethod::kOther;
}

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

HttpResponse refusal(int status) {
  switch (status) {
    case 408:
      return make_error(408, api_code::kTimeout, "the request took too long");
    case 413:
      return make_error(413, api_code::kTooLarge, "the body is too large");
    case 431:
      return make_error(431, api_code::kTooLarge, "the headers are too large");
    default:
      return make_error(400, api_code::kBadRequest, "this is not a valid HTTP request");
  }
}

}  // namespace

// The hooks return 0 to go on and anything else to stop the parser.
struct HttpServer::ParserHooks {
  static Conn& conn_of(htparser* parser) {
    return *static_cast<Conn*>(htparser_get_userdata(parser));
  }

  static int on_path(htparser* parser, const char* data, std::size_t length) {
    conn_of(parser).request.path.assign(data, length);
    return 0;
  }
  static int on_args(htparser* parser, const char* data, std::size_t length) {
    conn_of(parser).request.query.assign(data, length);
    return 0;
  }
  static int on_header_name(htparser* parser, const char* data, std::size_t length) {
    Conn& conn = conn_of(parser);
    conn.header_bytes += length;
    if (++conn.header_count > kMaxHeaders || conn.header_bytes > kMaxHeaderBytes) {
      conn.refuse_status = 431;
      return -1;
    }
    conn.header_name.assign(data, length);
    return 0;
  }
  static int on_header_value(htparser* parser, const char* data, std::size_t length) {
    Conn& conn = conn_of(parser);
    conn.header_bytes += length;
    if (conn.header_bytes > kMaxHeaderBytes) {
      conn.refuse_status = 431;
      return -1;
    }
    const std::string_view value(data, length);
    if (same_word(conn.header_name, "authorization")) conn.request.authorization = value;
    if (same_word(conn.header_name, "expect")) {
      conn.expects_continue = same_word(value, "100-continue");
    }
    if (same_word(conn.header_name, "transfer-encoding")) {
      // Only chunked is known; anything else would leave the end of the body to guesses.
      conn.chunked = true;
      if (!same_word(value, "chunked")) {
        conn.refuse_status = 400;
        return -1;
      }
    }
    if (same_word(conn.header_name, "content-length")) {
      const auto size = parse_number(value, UINT64_MAX);
      if (conn.has_length || !size) {
        conn.refuse_status = 400;
        return -1;
      }
      conn.has_length = true;
      if (*size > conn.server->settings_.max_body) {
        conn.refuse_status = 413;
        return -1;
      }
    }
    return 0;
  }
  static int on_headers_complete(htparser* parser) {
    Conn& conn = conn_of(parser);
    if (conn.has_length && conn.chunked) {
      conn.refuse_status = 400;
      return -1;
    }
    conn.request.method = method_of(htparser_get_method(parser));
    conn.head_only = conn.request.method == HttpMethod::kHead;
    conn.keep_alive = htparser_should_keep_alive(parser) == 1;
    if (conn.expects_continue) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      bufferevent_write(conn.bev.get(), kContinue.data(), kContinue.size());
    }
    return 0;
  }
  static int on_chunk(htparser* parser) {
    Conn& conn = conn_of(parser);
    if (htparser_get_content_length(parser) > conn.server->settings_.max_body) {
      conn.refuse_status = 413;
      return -1;
    }
    return 0;
  }
  static int on_body(htparser* parser, const char* data, std::size_t length) {
    Conn& conn = conn_of(parser);
    if (conn.request.body.size() + length > conn.server->settings_.max_body) {
      conn.refuse_status = 413;
      return -1;
    }
    conn.request.body.append(data, length);
    return 0;
  }
  static int on_complete(htparser* parser) {
    conn_of(parser).complete = true;
    return 0;
  }
  static htparse_hooks table() {
    htparse_hooks hooks{};
    hooks.path = on_path;
    hooks.args = on_args;
    hooks.hdr_key = on_header_name;
    hooks.hdr_val = on_header_value;
    hooks.on_hdrs_complete = on_headers_complete;
    hooks.on_new_chunk = on_chunk;
    hooks.body = on_body;
    hooks.on_msg_complete = on_complete;
    return hooks;
  }
};

void HttpServer::ParserDeleter::operator()(htparser* parser) const {
  std::free(parser);  // htparser_new() is a malloc(), and there is no other way to end one
}

HttpServer::HttpServer(event_base* base, std::vector<UniqueFd> listeners,
                       const HttpSettings& settings, ipc::Counters& counters, Handlers handlers)
    : base_(base),
      settings_(settings),
      handlers_(std::move(handlers)),
      hooks_(ParserHooks::table()),
      acceptor_(base, std::move(listeners), {1, settings.proxy}, counters,
                {[this](UniqueFd fd, const Accepted& who) { on_accept(std::move(fd), who.client); },
                 [this] {
                   return Acceptor::Load{active_, active_};
                 },
                 [] {}, [this] { leave_if_idle(); }}) {
  sweep_timer_.reset(event_new(
      base, -1, EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<HttpServer*>(self)->sweep(); }, this));
  const timeval period = to_timeval(kSweepMs);
  add_or_end(sweep_timer_.get(), &period);
  for (std::size_t i = 0; i < acceptor_.listeners(); ++i) {
    if (settings.proxy_protocol) acceptor_.expect_proxy_header(i);
    acceptor_.restrict_to(i, settings.access, {});
  }
  acceptor_.start();
}

HttpServer::~HttpServer() = default;

void HttpServer::on_accept(UniqueFd socket, const Endpoint& client) {
  if (active_ >= settings_.max_connections && !close_one_idle()) {
    // The answer fits into any fresh socket buffer; whoever doesn't read it has lost nothing.
    const std::string text =
        to_wire(make_error(503, api_code::kBusy, "too many connections"), false, false);
    (void)!::send(socket.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    handlers_.on_refused(503);
    return;
  }
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  std::uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(conns_.size());
    conns_.push_back(std::make_unique<Conn>());
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Conn& conn = *conns_[slot];
  conn.server = this;
  conn.slot = slot;
  conn.parser.reset(htparser_new());
  conn.bev.reset(bufferevent_socket_new(base_, socket.get(), BEV_OPT_CLOSE_ON_FREE));
  if (!conn.parser || !conn.bev) {
    conn.bev.reset();
    conn.parser.reset();
    free_.push_back(slot);
    return;
  }
  socket.release();  // the bufferevent closes it
  htparser_init(conn.parser.get(), htp_type_request);
  htparser_set_userdata(conn.parser.get(), &conn);
  reset_request(conn);
  conn.request.peer = client;
  conn.phase = Phase::kReading;
  conn.keep_alive = true;
  conn.input_ended = false;
  conn.answered = false;
  conn.idle_since_ms = monotonic_ms();
  conn.deadline_ms = conn.idle_since_ms + settings_.request_timeout_ms;
  ++active_;
  bufferevent_setcb(
      conn.bev.get(),
      [](bufferevent*, void* c) {
        static_cast<Conn*>(c)->server->on_input(*static_cast<Conn*>(c));
      },
      [](bufferevent*, void* c) {
        static_cast<Conn*>(c)->server->on_flushed(*static_cast<Conn*>(c));
      },
      [](bufferevent*, short what, void* c) {
        static_cast<Conn*>(c)->server->on_event(*static_cast<Conn*>(c), what);
      },
      &conn);
  bufferevent_setwatermark(conn.bev.get(), EV_READ, 0, kReadHigh);
  bufferevent_enable(conn.bev.get(), EV_READ | EV_WRITE);
}

// Makes room for a new client: the connection without a request that has been there for longest.
// Not one that is new itself, or a flood of connects would put out clients that are about to ask.
bool HttpServer::close_one_idle() {
  Conn* oldest = nullptr;
  const std::uint64_t now = monotonic_ms();
  for (const auto& conn : conns_) {
    if (conn->phase != Phase::kReading || conn->begun || conn->in_loop) continue;
    if (now < conn->idle_since_ms + kIdleMs) continue;
    if (oldest == nullptr || conn->idle_since_ms < oldest->idle_since_ms) oldest = conn.get();
  }
  if (oldest == nullptr) return false;
  close(*oldest);
  return true;
}

void HttpServer::reset_request(Conn& conn) {
  const Endpoint peer = conn.request.peer;
  conn.request = HttpRequest{};
  conn.request.peer = peer;
  conn.complete = conn.begun = conn.head_done = conn.head_only = false;
  conn.scanned = 0;
  conn.has_length = conn.chunked = conn.expects_continue = false;
  conn.refuse_status = 0;
  conn.header_count = conn.header_bytes = conn.discarded = 0;
  conn.header_name.clear();
}

void HttpServer::on_input(Conn& conn) {
  if (conn.phase == Phase::kLingering) {
    discard(conn);
  } else {
    process(conn);
  }
}

// Runs the parser over what is there. May close the connection.
void HttpServer::process(Conn& conn) {
  if (conn.in_loop) return;
  conn.in_loop = true;
  const std::uint32_t generation = conn.generation;
  while (conn.generation == generation && conn.phase == Phase::kReading) {
    evbuffer* input = bufferevent_get_input(conn.bev.get());
    const std::size_t length = evbuffer_get_length(input);
    if (length == 0) break;
    const std::string_view text = as_text({evbuffer_pullup(input, -1), length});
    const std::size_t part = parseable(conn, text);
    if (part == 0) break;
    const std::size_t used = htparser_run(conn.parser.get(), &hooks_, text.data(), part);
    evbuffer_drain(input, used);
    if (conn.begun) after_parse(conn);
  }
  conn.in_loop = false;
  if (conn.generation != generation || conn.phase == Phase::kFree) return;
  if (conn.input_ended && conn.phase == Phase::kReading) end_after_output(conn);
}

// The client sends nothing more; what it has been promised still goes out.
void HttpServer::end_after_output(Conn& conn) {
  if (evbuffer_get_length(bufferevent_get_output(conn.bev.get())) == 0) {
    close(conn);
    return;
  }
  conn.keep_alive = false;
  conn.phase = Phase::kFlushing;
}

// How much of the input the parser may have: line ends before a request, a whole head, then
// anything. 0: more must come first, or the request was refused.
std::size_t HttpServer::parseable(Conn& conn, std::string_view input) {
  if (conn.head_done) return input.size();
  if (!conn.begun) {
    const std::size_t blank = std::min(input.find_first_not_of("\r\n"), input.size());
    if (blank > 0) return blank;
    conn.begun = true;
    conn.deadline_ms = monotonic_ms() + settings_.request_timeout_ms;
    if (input.front() < 'A' || input.front() > 'Z') {  // no method begins like that: TLS, say
      refuse(conn, 400);
      return 0;
    }
  }
  for (std::size_t at = conn.scanned; (at = input.find('\n', at)) != std::string_view::npos; ++at) {
    const std::size_t next = at + 1 < input.size() && input[at + 1] == '\r' ? at + 2 : at + 1;
    if (next >= input.size()) break;
    if (input[next] != '\n') continue;
    conn.head_done = true;
    return next + 1;
  }
  if (input.size() > kMaxHeadBytes) {
    refuse(conn, 431);
  } else {
    conn.scanned = input.size() < 2 ? 0 : input.size() - 2;
  }
  return 0;
}

void HttpServer::after_parse(Conn& conn) {
  if (conn.refuse_status != 0) {
    refuse(conn, conn.refuse_status);
  } else if (htparser_get_error(conn.parser.get()) != htparse_error_none) {
    // A length that is no number is "too big" to the parser as well.
    const bool too_big = htparser_get_error(conn.parser.get()) == htparse_error_too_big &&
                         !same_word(conn.header_name, "content-length");
    refuse(conn, too_big ? 431 : 400);
  } else if (conn.complete) {
    conn.phase = Phase::kAnswering;
    conn.deadline_ms = monotonic_ms() + kAnswerMs;
    bufferevent_disable(conn.bev.get(), EV_READ);
    const HttpRequest request = std::move(conn.request);
    conn.request = HttpRequest{};
    conn.request.peer = request.peer;
    handlers_.on_request(request, HttpToken{conn.slot, conn.generation});
  }
}

void HttpServer::respond(HttpToken token, const HttpResponse& response) {
  if (token.slot >= conns_.size()) return;
  Conn& conn = *conns_[token.slot];
  if (conn.generation != token.generation || conn.phase != Phase::kAnswering) return;
  conn.keep_alive = conn.keep_alive && !stopping_;
  const std::string text = to_wire(response, conn.keep_alive, conn.head_only);
  bufferevent_write(conn.bev.get(), text.data(), text.size());
  conn.answered = true;
  conn.idle_since_ms = monotonic_ms();
  conn.deadline_ms = conn.idle_since_ms + settings_.request_timeout_ms;
  conn.phase = Phase::kFlushing;
  if (!conn.keep_alive) return;  // on_flushed() ends it
  reset_request(conn);
  if (evbuffer_get_length(bufferevent_get_output(conn.bev.get())) <= kOutputHigh) {
    finish_answer(conn);
  }
}

// The next request may be read.
void HttpServer::finish_answer(Conn& conn) {
  conn.phase = Phase::kReading;
  if (!conn.input_ended) bufferevent_enable(conn.bev.get(), EV_READ);
  process(conn);
}

void HttpServer::on_flushed(Conn& conn) {
  if (conn.phase == Phase::kLingering) {
    ::shutdown(bufferevent_getfd(conn.bev.get()), SHUT_WR);
    if (conn.input_ended) close(conn);
  } else if (conn.phase == Phase::kFlushing) {
    if (conn.keep_alive) {
      finish_answer(conn);
    } else {
      linger(conn);
      on_flushed(conn);
    }
  }
}

void HttpServer::refuse(Conn& conn, int status) {
  handlers_.on_refused(status);
  const std::string text = to_wire(refusal(status), false, false);
  bufferevent_write(conn.bev.get(), text.data(), text.size());
  linger(conn);
}

// A close() with unread input would make the kernel reset the connection and the client lose the
// answer. So the input is thrown away until the client has seen our end, within bounds.
void HttpServer::linger(Conn& conn) {
  conn.phase = Phase::kLingering;
  conn.deadline_ms = monotonic_ms() + kLingerMs;
  conn.request = HttpRequest{};
  evbuffer* input = bufferevent_get_input(conn.bev.get());
  evbuffer_drain(input, evbuffer_get_length(input));
  if (!conn.input_ended) bufferevent_enable(conn.bev.get(), EV_READ);
}

void HttpServer::discard(Conn& conn) {
  evbuffer* input = bufferevent_get_input(conn.bev.get());
  const std::size_t length = evbuffer_get_length(input);
  evbuffer_drain(input, length);
  conn.discarded += length;
  if (conn.discarded > kLingerBytes) close(conn);
}

void HttpServer::on_event(Conn& conn, short what) {
  const bool end_of_input = (what & BEV_EVENT_EOF) != 0 && (what & BEV_EVENT_READING) != 0;
  if (!end_of_input || (what & BEV_EVENT_ERROR) != 0) {
    close(conn);
    return;
  }
  // A client that has only closed its sending side still gets its answers.
  conn.input_ended = true;
  if (conn.phase == Phase::kReading) {
    end_after_output(conn);
  } else if (conn.phase == Phase::kLingering &&
             evbuffer_get_length(bufferevent_get_output(conn.bev.get())) == 0) {
    close(conn);
  }
}

void HttpServer::close(Conn& conn) {
  conn.bev.reset();
  conn.parser.reset();
  reset_request(conn);
  conn.phase = Phase::kFree;
  ++conn.generation;
  free_.push_back(conn.slot);
  --active_;
  leave_if_idle();
}

void HttpServer::leave_if_idle() {
  if (stopping_ && active_ + acceptor_.pending() == 0) handlers_.on_idle();
}

void HttpServer::sweep() {
  const std::uint64_t now = monotonic_ms();
  for (const auto& conn : conns_) {
    if (conn->phase == Phase::kFree || now < conn->deadline_ms) continue;
    if (conn->phase == Phase::kReading && conn->begun) {
      refuse(*conn, 408);
    } else {
      close(*conn);
    }
  }
}

void HttpServer::stop() {
  if (stopping_) return;
  stopping_ = true;
  acceptor_.stop();
  for (const auto& conn : conns_) {
    if (conn->phase != Phase::kReading || conn->begun) continue;
    if (conn->answered) {
      close(*conn);
    } else {
      conn->deadline_ms = std::min(conn->deadline_ms, monotonic_ms() + kFreshMs);
    }
  }
  leave_if_idle();
}

}  // namespace weir::control
