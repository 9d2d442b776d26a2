#include "workers/core/acceptor.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/log.h"

namespace weir {
namespace {

constexpr int kBatch = 64;                    // then other events get their turn
constexpr unsigned long long kPauseMs = 100;  // when there is no descriptor left
// Descriptors beside those of the connections: standard ones, log, channel, event sets, idle pipes.
constexpr std::uint64_t kDescriptorsElsewhere = 40;

std::uint64_t descriptor_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

}  // namespace

Acceptor::Acceptor(event_base* base, std::vector<UniqueFd> listeners,
                   std::uint64_t descriptors_each, Handlers handlers)
    : listeners_(listeners.size()),
      descriptors_each_(descriptors_each),
      descriptor_limit_(descriptor_limit()),
      handlers_(std::move(handlers)) {
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

// Whoever is accepted will need a second descriptor for the origin. Without it the dial would fail,
// and an innocent origin with it; so clients wait in the listen queue instead.
bool Acceptor::descriptors_left() const {
  const std::uint64_t elsewhere = kDescriptorsElsewhere + listeners_.size();
  return handlers_.load().descriptors + descriptors_each_ + elsewhere <= descriptor_limit_;
}

void Acceptor::pause(std::string_view why) {
  if (!std::exchange(said_so_, true)) {
    LogLine(LogLevel::kError, "cannot accept, pausing; raise worker_rlimit_nofile")
        .field("error", why)
        .field("connections", handlers_.load().connections)
        .field("descriptors", descriptor_limit_);
  }
  for (const Listener& listener : listeners_) event_del(listener.event.get());
  const timeval wait = to_timeval(kPauseMs);
  event_add(again_.get(), &wait);
  handlers_.on_pause();
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
    if (!descriptors_left()) return pause("no descriptors left for what a client will need");
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    UniqueFd fd(::accept4(listener.fd.get(), reinterpret_cast<sockaddr*>(&address), &length,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      said_so_ = false;
      handlers_.on_accept(std::move(fd), from_sockaddr(address), listener.index);
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return pause(std::strerror(errno));
    }
    if (errno != ECONNABORTED && errno != EINTR) return;
  }
}

}  // namespace weir
