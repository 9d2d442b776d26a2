#include "workers/core/acceptor.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace weir {
namespace {

constexpr int kBatch = 64;                    // then other events get their turn
constexpr unsigned long long kPauseMs = 100;  // when there is no descriptor left

}  // namespace

Acceptor::Acceptor(event_base* base, std::vector<UniqueFd> listeners, Handlers handlers)
    : listeners_(listeners.size()), handlers_(std::move(handlers)) {
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    Listener& listener = listeners_[i];
    listener.self = this;
    listener.index = i;
    listener.fd = std::move(listeners[i]);
    listener.event.reset(event_new(
        base, listener.fd.get(), EV_READ | EV_PERSIST,
        [](evutil_socket_t, short, void* which) {
          auto* ready = static_cast<Listener*>(which);
          ready->self->on_ready(*ready);
        },
        &listener));
  }
  again_.reset(event_new(
      base, -1, 0,
      [](evutil_socket_t, short, void* self) { static_cast<Acceptor*>(self)->start(); }, this));
}

void Acceptor::start() {
  for (const Listener& listener : listeners_) event_add(listener.event.get(), nullptr);
}

void Acceptor::stop() {
  event_del(again_.get());
  listeners_.clear();
}

void Acceptor::pause() {
  for (const Listener& listener : listeners_) event_del(listener.event.get());
  const timeval wait = to_timeval(kPauseMs);
  event_add(again_.get(), &wait);
}

Endpoint Acceptor::address(std::size_t listener) const {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  // The socket API takes every address family through this one pointer type.
  ::getsockname(listeners_[listener].fd.get(), reinterpret_cast<sockaddr*>(&storage), &length);
  return from_sockaddr(storage);
}

void Acceptor::on_ready(Listener& listener) {
  for (int i = 0; i < kBatch && !listeners_.empty(); ++i) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    UniqueFd fd(::accept4(listener.fd.get(), reinterpret_cast<sockaddr*>(&address), &length,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      handlers_.on_accept(std::move(fd), from_sockaddr(address), listener.index);
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      const int error = errno;
      pause();
      handlers_.on_exhausted(error);
      return;
    }
    if (errno != ECONNABORTED && errno != EINTR) return;
  }
}

}  // namespace weir
