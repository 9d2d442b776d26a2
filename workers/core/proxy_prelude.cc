#include "workers/core/proxy_prelude.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"

namespace weir {
namespace {

using ipc::Counter;

constexpr std::size_t kWaitingMax = 4096;   // connections without a complete header, a worker
constexpr std::uint32_t kRefusalLines = 5;  // a second

ssize_t receive(int fd, MutableBytes buffer, int flags) {
  for (;;) {
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), flags | MSG_DONTWAIT);
    if (n >= 0 || errno != EINTR) return n;
  }
}

}  // namespace

ProxyPrelude::ProxyPrelude(event_base* base, ProxySettings settings, ipc::Counters& counters,
                           Handlers handlers)
    : base_(base),
      settings_(std::move(settings)),
      counters_(counters),
      handlers_(std::move(handlers)),
      refusals_(kRefusalLines) {}

void ProxyPrelude::take(UniqueFd fd, const Endpoint& peer, std::size_t listener) {
  if (!settings_.trusted.contains(peer)) {
    return refuse(peer, Counter::kProxyUntrusted, "it is not from proxy_protocol_networks");
  }
  if (waiting_.size() >= kWaitingMax) {
    return refuse(peer, Counter::kProxyTooMany, "too many connections wait for their header");
  }
  waiting_.emplace_front();
  Waiting& waiting = waiting_.front();
  waiting.self = this;
  waiting.where = waiting_.begin();
  waiting.fd = std::move(fd);
  waiting.peer = peer;
  waiting.listener = listener;
  if (look(waiting) == Step::kDone) return;
  // Edge-triggered: what has been looked at stays in the socket, and would be reported for ever.
  waiting.readable.reset(event_new(
      base_, waiting.fd.get(), EV_READ | EV_CLOSED | EV_ET | EV_PERSIST,
      [](evutil_socket_t, short what, void* which) {
        auto* ready = static_cast<Waiting*>(which);
        ready->self->on_event(*ready, what);
      },
      &waiting));
  waiting.late.reset(event_new(
      base_, -1, 0,
      [](evutil_socket_t, short what, void* which) {
        auto* late = static_cast<Waiting*>(which);
        late->self->on_event(*late, what);
      },
      &waiting));
  const timeval wait = to_timeval(settings_.timeout_ms);
  const bool watched = waiting.readable && waiting.late &&
                       event_add(waiting.readable.get(), nullptr) == 0 &&
                       event_add(waiting.late.get(), &wait) == 0;
  if (watched) return;
  refuse(peer, Counter::kProxyTooMany, "its socket cannot be watched");
  drop(waiting);
  handlers_.on_gone();
}

void ProxyPrelude::on_event(Waiting& waiting, short what) {
  if ((what & EV_TIMEOUT) != 0) {
    refuse(waiting.peer, Counter::kProxyTimeout, "no whole PROXY header in time");
    drop(waiting);
    handlers_.on_gone();
    return;
  }
  if (look(waiting) == Step::kDone) return;
  if ((what & EV_CLOSED) == 0) return;
  drop(waiting);  // it sends no more, and what there is will never be a header
  handlers_.on_gone();
}

ProxyPrelude::Step ProxyPrelude::look(Waiting& waiting) {
  const ssize_t n = receive(waiting.fd.get(), buffer_, MSG_PEEK);
  if (n < 0 && errno == EAGAIN) return Step::kWait;
  if (n <= 0) {  // connected and left, as some health checks do
    drop(waiting);
    handlers_.on_gone();
    return Step::kDone;
  }
  proxy_protocol::Header header;
  proxy_protocol::Error error{};
  const ByteView seen(buffer_.data(), static_cast<std::size_t>(n));
  const ParseStatus status = proxy_protocol::parse(seen, header, error);
  if (status == ParseStatus::kNeedMore) return Step::kWait;
  if (status == ParseStatus::kInvalid) {
    refuse(waiting.peer, Counter::kProxyInvalid, proxy_protocol::to_string(error));
    drop(waiting);
    handlers_.on_gone();
    return Step::kDone;
  }
  // All of it is in the socket's buffer, as has just been seen.
  receive(waiting.fd.get(), MutableBytes(buffer_.data(), header.consumed), 0);
  const Accepted who{header.source.empty() ? waiting.peer : header.source, waiting.listener,
                     header.tls};
  UniqueFd fd = std::move(waiting.fd);
  drop(waiting);
  handlers_.on_client(std::move(fd), who);
  handlers_.on_gone();
  return Step::kDone;
}

void ProxyPrelude::refuse(const Endpoint& peer, Counter counter, std::string_view why) {
  counters_.add(counter);
  std::uint64_t suppressed = 0;
  if (!refusals_.take(monotonic_ms(), suppressed)) return;
  LogLine(LogLevel::kWarn, "connection refused, PROXY protocol is expected here")
      .field("peer", to_string(peer))
      .field("reason", why)
      .field("suppressed", suppressed);
}

void ProxyPrelude::drop(Waiting& waiting) {
  // Events hold the descriptor's number: they must be gone before somebody else has it.
  waiting.readable.reset();
  waiting.late.reset();
  waiting_.erase(waiting.where);
}

}  // namespace weir
