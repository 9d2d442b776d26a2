#include "workers/core/side.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

namespace weir {

void Side::note(std::uint32_t epoll_events) {
  if ((epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) readable = true;
  if ((epoll_events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) writable = true;
}

IoStatus Side::flush(std::size_t& moved) {
  while (fd && writable && !out.empty()) {
    const ssize_t n = ::send(fd.get(), out.data.data() + out.sent, out.pending(), MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return IoStatus::kEnded;
      writable = false;
      return IoStatus::kBlocked;
    }
    out.sent += static_cast<std::size_t>(n);
    moved += static_cast<std::size_t>(n);
  }
  if (out.empty()) out.clear();
  return out.empty() ? IoStatus::kOk : IoStatus::kBlocked;
}

IoStatus Side::read(MutableBytes buffer, ssize_t& n) {
  for (;;) {
    n = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    // A short read does not mean that the socket is empty: a FIN may wait behind it, and its edge
    // has been and gone.
    if (n > 0) return IoStatus::kOk;
    if (n == 0) return IoStatus::kEnded;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return IoStatus::kEnded;
    readable = false;
    return IoStatus::kBlocked;
  }
}

}  // namespace weir
