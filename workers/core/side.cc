#include "workers/core/side.h"

#include <sys/socket.h>

#include <cerrno>

namespace weir {

void Side::note(std::uint32_t epoll_events) {
  if ((epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) readable = true;
  if ((epoll_events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) writable = true;
  if ((epoll_events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) hung_up = true;
  if (tls) readable = writable = true;  // either may have waited for the other
}

IoStatus Side::handshake() {
  switch (tls->handshake()) {
    case net::TlsStatus::kOk:
      readable = writable = true;
      return IoStatus::kOk;
    case net::TlsStatus::kBlocked:
      return IoStatus::kBlocked;
    case net::TlsStatus::kClosed:
    case net::TlsStatus::kTruncated:
    case net::TlsStatus::kFailed:
      break;
  }
  return IoStatus::kEnded;
}

IoStatus Side::flush(std::size_t& moved) {
  while (fd && writable && !out.empty()) {
    std::size_t n = 0;
    const IoStatus status = send_some(n);
    if (status == IoStatus::kEnded) return status;
    if (status == IoStatus::kBlocked) {
      writable = false;
      return status;
    }
    out.sent += n;
    moved += n;
  }
  if (out.empty()) out.clear();
  return out.empty() ? IoStatus::kOk : IoStatus::kBlocked;
}

IoStatus Side::send_some(std::size_t& n) {
  if (tls) {
    const net::TlsStatus status = tls->write({out.data.data() + out.sent, out.pending()}, n);
    if (status == net::TlsStatus::kOk) return IoStatus::kOk;
    return status == net::TlsStatus::kBlocked ? IoStatus::kBlocked : IoStatus::kEnded;
  }
  ssize_t sent = 0;
  do {
    sent = ::send(fd.get(), out.data.data() + out.sent, out.pending(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return errno == EAGAIN ? IoStatus::kBlocked : IoStatus::kEnded;
  n = static_cast<std::size_t>(sent);
  return IoStatus::kOk;
}

IoStatus Side::read(MutableBytes buffer, ssize_t& n) {
  if (tls) {
    std::size_t got = 0;
    const net::TlsStatus status = tls->read(buffer, got);
    n = static_cast<ssize_t>(got);
    if (status == net::TlsStatus::kOk) return IoStatus::kOk;
    if (status == net::TlsStatus::kBlocked) {
      readable = false;
      return IoStatus::kBlocked;
    }
    // What clients send says itself where it ends; what an origin sends may not.
    const bool in_order = status == net::TlsStatus::kClosed ||
                          (status == net::TlsStatus::kTruncated && tls->is_server());
    n = in_order ? 0 : -1;
    if (status == net::TlsStatus::kTruncated) errno = ECONNRESET;
    return IoStatus::kEnded;
  }
  for (;;) {
    n = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    // After a short read the socket is empty, and what comes next is a new edge; but for the FIN
    // that came with these bytes.
    if (n > 0) {
      readable = hung_up || static_cast<std::size_t>(n) == buffer.size();
      return IoStatus::kOk;
    }
    if (n == 0) return IoStatus::kEnded;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return IoStatus::kEnded;
    readable = false;
    return IoStatus::kBlocked;
  }
}

void Side::finish() {
  if (tls) static_cast<void>(tls->close());
  ::shutdown(fd.get(), SHUT_WR);
}

}  // namespace weir
