// http::Server: connections, timers, the end.
#include "workers/core/http_server.h"

#include <algorithm>
#include <utility>

#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/net/tcp.h"
#include "common/proto/http/head_writer.h"
#include "workers/core/tls_listener.h"

namespace weir::http {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::uint64_t kTimerMs = 50;
constexpr std::uint64_t kIdleMs = 1000;  // then a connection may have to make room

// One client too many. The answer fits into any fresh socket buffer; whoever doesn't read it has
// lost nothing.
void send_turned_away(int fd, const ErrorText& text) {
  std::string out;
  HeadWriter writer(out);
  writer.response(static_cast<unsigned>(text.status));
  writer.field(HeaderId::kContentType, text.content_type);
  writer.field(HeaderId::kConnection, "close").body({Framing::kLength, text.body.size()});
  writer.finish();
  out += text.body;
  (void)!::send(fd, out.data(), out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

void Room::on_body(std::uint32_t, std::string&&) {}
void Room::refuse_body(std::uint32_t, int, std::string_view) {}
void Room::serve(std::uint32_t, bool&) {}
void Room::check_time(std::uint32_t, std::uint64_t) {}
void Room::on_end(std::uint32_t, EndReason) {}

Server::Server(event_base* base, std::vector<UniqueFd> listeners, const ServerSettings& settings,
               const Meters& meters, net::TlsServer* tls, ipc::Counters& counters,
               SessionId& next_session, Handlers handlers)
    : base_(base),
      settings_(settings),
      meters_(meters),
      counters_(counters),
      tls_(tls),
      next_session_(next_session),
      handlers_(std::move(handlers)),
      limits_(settings.limits, meters, counters),
      book_(base),
      poller_(base, 0,
              [this](std::uint64_t token, std::uint32_t events) { on_ready(token, events); }),
      acceptor_(base, std::move(listeners), {settings.descriptors_each, settings.proxy}, counters,
                {[this](UniqueFd fd, const Accepted& who) { on_accept(std::move(fd), who); },
                 [this] {
                   const std::uint64_t clients = conns_.active();
                   return Acceptor::Load{clients, settings_.descriptors_each * clients +
                                                      handlers_.spare_descriptors()};
                 },
                 [this] { handlers_.on_shortage(); }, [this] { handlers_.on_end(); }}),
      timer_(make_timer<&Server::on_timer>(base, this)),
      turn_(make_timer<&Server::on_turn>(base, this)),
      read_buffer_(kReadBytes) {}

void Server::start() {
  for (std::size_t i = 0; i < acceptor_.listeners(); ++i) {
    const auto found = std::find_if(ports_.begin(), ports_.end(), [&](const auto& port) {
      return port->listen == acceptor_.address(i);
    });
    const Port& port = found == ports_.end() ? *ports_.front() : **found;
    listener_ports_.push_back(&port);
    if (port.proxy_protocol) acceptor_.expect_proxy_header(i);
    acceptor_.restrict_to(i, port.access, settings_.limits.trusted);
  }
  acceptor_.start();
}

void Server::on_accept(UniqueFd fd, const Accepted& who) {
  counters_.add(meters_.accepted);
  const Port& port = *listener_ports_[who.listener];
  if (settings_.idle_makes_room && limits_.full(conns_.active())) {
    // Not one that is new itself, or a flood of connects would put out clients about to ask.
    const auto idle = busy_.longest_idle(monotonic_ms() - kIdleMs);
    if (idle) end(*idle, EndReason::kDone);
  }
  if (!limits_.admit(who.client, conns_.active())) {
    // Inside TLS an answer would need a handshake first, so there it is the end alone.
    if (!port.error_form || port.tls) return;
    counters_.add(meters_.requests);
    return send_turned_away(fd.get(), port.error_form(503, "too many connections"));
  }
  net::set_tcp_options(fd.get(), {settings_.tcp_keepalive, settings_.stall_timeout});
  const std::uint32_t index = conns_.take(next_session_++);
  Connection& conn = conns_[index];
  conn.port = &port;
  conn.parser = RequestParser(port.head);
  conn.client = who.client;
  conn.behind_tls = who.behind_tls;
  conn.accepted_ms = conn.last_move_ms = monotonic_ms();
  conn.deadline_ms = conn.accepted_ms + settings_.request_timeout;
  conn.side.fd = std::move(fd);
  conn.mark.started_ms = conn.accepted_ms;
  conn.address_group = limits_.count(conn.client);
  if (port.tls) {
    conn.side.tls = tls_ == nullptr ? nullptr : tls_->accept(conn.side.fd.get());
    conn.deadline_ms = conn.accepted_ms + settings_.handshake_timeout;
  }
  counters_.add(meters_.connections);
  busy_.add(index);
  if (busy_.size() == 1) arm(timer_, kTimerMs);
  if ((port.tls && !conn.side.tls) ||
      !poller_.add(conn.side.fd.get(), kSideEvents, Token{index, conn.generation, 0}.pack())) {
    end(index, EndReason::kError);
  }
}

void Server::on_ready(std::uint64_t packed, std::uint32_t events) {
  const Token token = Token::unpack(packed);
  if (token.side == 1) {
    handlers_.on_room_event(packed, events);
    return;
  }
  if (!conns_.valid(token.index, token.generation) || conns_[token.index].detached) return;
  conns_[token.index].side.note(events);
  serve(token.index);
}

void Server::wake(std::uint32_t index) {
  Connection& conn = conns_[index];
  conn.work = true;
  if (conn.queued || serving_ == index) return;
  conn.queued = true;
  ready_.push_back(handle(index));
  if (ready_.size() == 1) arm(turn_, 0);
}

void Server::on_turn() {
  static constexpr int kRequestsMax = 8;  // then events get their turn
  // Those that wake meanwhile have the next turn, too.
  const std::vector<ConnHandle> waiting = std::exchange(ready_, {});
  auto next = waiting.begin();
  for (int begun = 0; next != waiting.end() && begun < kRequestsMax; ++next) {
    if (!valid(*next)) continue;
    conns_[next->index].queued = false;
    if (conns_[next->index].detached) continue;
    serve(next->index);
    begun += begun_;
  }
  if (next == waiting.end()) return;
  ready_.insert(ready_.begin(), next, waiting.end());
  arm(turn_, 0);
}

void Server::drain() {
  if (std::exchange(draining_, true)) return;
  acceptor_.stop();
  // Connections that wait for a next request have none to lose.
  for (std::size_t i = busy_.size(); i-- > 0;) {
    Connection& conn = conns_[busy_[i]];
    if (conn.exchange || conn.closing || !conn.in.empty()) continue;
    if (conn.between_requests) {
      end(busy_[i], EndReason::kDone);
    } else if (settings_.drain_timeout > 0) {  // it is about to ask
      conn.deadline_ms = std::min(conn.deadline_ms, monotonic_ms() + settings_.drain_timeout);
    }
  }
}

void Server::on_timer() {
  const std::uint64_t now = monotonic_ms();
  // Backwards: an entry that ends is replaced by the last one, which has been looked at.
  for (std::size_t i = busy_.size(); i-- > 0;) {
    if (i < busy_.size()) check_deadline(busy_[i], now);
  }
  if (!busy_.empty()) arm(timer_, kTimerMs);
}

void Server::check_deadline(std::uint32_t index, std::uint64_t now) {
  const Connection& conn = conns_[index];
  Exchange* x = conn.exchange.get();
  const std::uint64_t quiet = now < conn.last_move_ms ? 0 : now - conn.last_move_ms;
  const bool waits = !conn.side.out.empty() || (x != nullptr && x->output_waits);
  if (waits && quiet >= settings_.stall_timeout) {
    end(index, EndReason::kStalled);
    return;
  }
  if (x != nullptr) {
    if (x->answered || x->room == nullptr) return;
    if (x->intake == nullptr) {
      x->room->check_time(index, now);
    } else if (now >= x->deadline_ms) {
      x->intake.reset();
      x->room->refuse_body(index, 408, "the body did not come in time");
    }
    return;
  }
  if (conn.deadline_ms == 0 || now < conn.deadline_ms) return;
  if (conn.side.shaking()) {
    note_tls_failure(counters_, tls_failures_, conn.id, conn.client, net::TlsFailure::kTimeout,
                     "no handshake within tls.handshake_timeout");
    return end(index, EndReason::kTls);
  }
  if (conn.head_begun && conn.port->error_form) return on_head_timeout(index);
  end(index,
      conn.between_requests || conn.lingering ? EndReason::kDone : EndReason::kRequestTimeout);
}

void Server::on_head_timeout(std::uint32_t index) {
  Connection& conn = conns_[index];
  counters_.add(meters_.requests);
  conn.exchange = std::make_unique<Exchange>();
  conn.mark.request_bytes = conn.in.size();
  conn.head_begun = false;
  conn.in.clear();
  refuse(index, {408, "text/plain", "the request did not come in time", {}, true});
}

Side Server::detach(std::uint32_t index) {
  Connection& conn = conns_[index];
  poller_.remove(conn.side.fd.get());
  conn.detached = true;
  conn.in = {};
  busy_.remove(index);
  return std::exchange(conn.side, Side{});
}

void Server::note_moved(std::uint32_t index, std::uint64_t from_client, std::uint64_t to_client) {
  Connection& conn = conns_[index];
  conn.bytes_from_client += from_client;
  AccessBook::note_sent(conn, to_client);
  counters_.add(meters_.bytes_from_clients, from_client);
  counters_.add(meters_.bytes_to_clients, to_client);
}

void Server::flush_last(std::uint32_t index) {
  std::size_t moved = 0;
  conns_[index].side.flush(moved);
  note_moved(index, 0, moved);
}

void Server::end_all(EndReason reason) {
  acceptor_.drop_pending();
  for (std::uint32_t i = 0; i < conns_.size(); ++i) {
    if (conns_[i].used) end(i, reason);
  }
}

void Server::end(std::uint32_t index, EndReason reason) {
  Connection& conn = conns_[index];
  busy_.remove(index);
  if (conn.exchange) {
    if (conn.exchange->room != nullptr) conn.exchange->room->on_end(index, reason);
    book_.write(conn, reason);
  } else if (!conn.closing && !conn.in.empty()) {
    book_.write_broken(conn, reason);
  }
  limits_.uncount(conn.address_group);
  counters_.sub(meters_.connections);
  counters_.add(meters_.end(reason));
  conns_.release(index);
  handlers_.on_end();
}

}  // namespace weir::http
