#include "workers/core/acceptor.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/tcp.h"

namespace weir {
namespace {

constexpr int kBatch = 64;                    // then other events get their turn
constexpr unsigned long long kPauseMs = 100;  // when there is no descriptor left
constexpr std::uint32_t kDenialLines = 1;     // a second
// Descriptors beside those of the connections: standard ones, log, channel, event sets, idle pipes.
constexpr std::uint64_t kDescriptorsElsewhere = 40;

std::uint64_t descriptor_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

}  // namespace

Acceptor::Acceptor(event_base* base, std::vector<UniqueFd> listeners, Settings settings,
                   ipc::Counters& counters, Handlers handlers)
    : listeners_(listeners.size()),
      descriptors_each_(settings.descriptors_each),
      descriptor_limit_(descriptor_limit()),
      handlers_(std::move(handlers)),
      counters_(counters),
      denials_(kDenialLines),
      prelude_(base, std::move(settings.proxy), counters,
               {[this](UniqueFd fd, const Accepted& who) { hand_on(std::move(fd), who); },
                [this] { handlers_.on_gone(); }}) {
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    Listener& listener = listeners_[i];
    listener.self = this;
    listener.index = i;
    listener.fd = std::move(listeners[i]);
    listener.address = net::local_address(listener.fd.get());
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
  for (const Listener& listener : listeners_) {
    // Without a fault, only stop() takes a listener's event away.
    if (listener.fd) add_or_end(listener.event.get());
  }
}

void Acceptor::stop() {
  event_del(again_.get());
  for (Listener& listener : listeners_) {
    listener.event.reset();
    listener.fd.reset();
  }
}

// Whoever is accepted will need a second descriptor for the origin. Without it the dial would fail,
// and an innocent origin with it; so clients wait in the listen queue instead.
bool Acceptor::descriptors_left() const {
  const std::uint64_t elsewhere = kDescriptorsElsewhere + listeners_.size();
  const std::uint64_t next = descriptors_each_ * (pending() + 1);
  return handlers_.load().descriptors + next + elsewhere <= descriptor_limit_;
}

void Acceptor::pause(std::string_view why) {
  if (!std::exchange(said_so_, true)) {
    LogLine(LogLevel::kError, "cannot accept, pausing; raise worker_rlimit_nofile")
        .field("error", why)
        .field("connections", handlers_.load().connections)
        .field("descriptors", descriptor_limit_);
  }
  for (const Listener& listener : listeners_) event_del(listener.event.get());
  arm(again_, kPauseMs);
  handlers_.on_pause();
}

// Who the client is, is known by now.
void Acceptor::hand_on(UniqueFd fd, const Accepted& who) {
  const Listener& at = listeners_[who.listener];
  if (at.access.allows(who.client) || at.spared.contains(who.client)) {
    handlers_.on_accept(std::move(fd), who);
    return;
  }
  counters_.add(ipc::Counter::kAccessConnection);
  fd.reset();
  std::uint64_t suppressed = 0;
  if (denials_.take(monotonic_ms(), suppressed)) {
    LogLine(LogLevel::kWarn, "connection refused, the access option denies it")
        .field("client", who.client)
        .field("listener", to_string(at.address))
        .field("suppressed", suppressed);
  }
}

void Acceptor::on_ready(Listener& listener) {
  for (int i = 0; i < kBatch && listener.fd; ++i) {
    if (!descriptors_left()) return pause("no descriptors left for what a client will need");
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    UniqueFd fd(::accept4(listener.fd.get(), reinterpret_cast<sockaddr*>(&address), &length,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      said_so_ = false;
      const Endpoint peer = from_sockaddr(address);
      if (listener.proxied) {
        prelude_.take(std::move(fd), peer, listener.index);
      } else {
        hand_on(std::move(fd), {peer, listener.index});
      }
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return pause(std::strerror(errno));
    }
    if (errno != ECONNABORTED && errno != EINTR) return;
  }
}

}  // namespace weir
