#include "workers/core/splice_relay.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"

namespace weir {
namespace {

constexpr std::size_t kMoveBytes = 1 << 20;  // at most a pipe full at once
// A read that brought less than this has emptied the socket as good as surely: the rest, if any, is
// reported by the (level-triggered) set again. Saves a call that would say EAGAIN.
constexpr ssize_t kShortRead = 64 * 1024;
constexpr int kRoundsMax = 8;  // then other sessions get their turn
// A TLS sender gives 16 kB at most a round, and only a read that blocks says that there is no more.
constexpr int kTlsRoundsMax = 64;
constexpr std::uint32_t kIn = EPOLLIN;
constexpr std::uint32_t kOut = EPOLLOUT;

constexpr std::uint8_t other(std::uint8_t side) {
  return side ^ 1U;
}
constexpr RelayEnd closed_by(std::uint8_t side) {
  return side == 0 ? RelayEnd::kClientClosed : RelayEnd::kOriginClosed;
}
// A failed call on `side`. With ETIMEDOUT it was the kernel that gave the peer up: it took nothing
// for stall_timeout (TCP_USER_TIMEOUT), or answered no keep-alive probe.
constexpr RelayEnd failed_at(std::uint8_t side, int error) {
  return error == ETIMEDOUT ? RelayEnd::kStalled : closed_by(side);
}

}  // namespace

std::string_view to_string(RelayEnd end) {
  switch (end) {
    case RelayEnd::kClientClosed:
      return "client_closed";
    case RelayEnd::kOriginClosed:
      return "origin_closed";
    case RelayEnd::kIdle:
      return "idle_timeout";
    case RelayEnd::kStalled:
      return "stalled";
    case RelayEnd::kLeft:
      return "left";
    case RelayEnd::kUnwatched:
      return "unwatched";
  }
  return "error";
}

SpliceRelay::SpliceRelay(event_base* base, const RelaySettings& settings, Handlers handlers)
    : settings_(settings),
      handlers_(std::move(handlers)),
      poller_(base, settings.delay_ms,
              [this](std::uint64_t token, std::uint32_t events) { on_ready(token, events); }) {}

SpliceRelay::Id SpliceRelay::start(Peer client, Peer origin, std::uint64_t owner, Watched watched) {
  Id id = static_cast<Id>(pairs_.size());
  if (free_.empty()) {
    pairs_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  Pair& pair = pairs_[id];
  pair.used = true;
  pair.owner = owner;
  const bool tls = client.tls || origin.tls;
  pair.copied = {tls || watched == Watched::kClient, tls || watched == Watched::kOrigin};
  pair.watched = watched;
  pair.left = false;
  pair.leg[0] = Leg{std::move(client.fd), std::move(client.tls)};
  pair.leg[1] = Leg{std::move(origin.fd), std::move(origin.tls)};
  pair.in_pipe = {};
  pair.second = {};
  pair.last_move_ms = monotonic_ms();
  pair.eof_ms = 0;
  ++active_;
  set_interest(id, 0, EPOLLIN);
  set_interest(id, 1, EPOLLIN);
  poller_.resume();
  return id;
}

void SpliceRelay::stop(Id id) {
  release(id);
}

void SpliceRelay::on_ready(std::uint64_t packed, std::uint32_t events) {
  const Token token = Token::unpack(packed);
  const Id id = token.index;
  if (id >= pairs_.size()) return;
  const Pair& pair = pairs_[id];
  if (!pair.used || pair.generation != token.generation) return;
  const std::uint8_t side = token.side;
  const bool broken = (events & (EPOLLHUP | EPOLLERR)) != 0;
  // A peer that is gone shows it in whichever direction still moves.
  if ((events & EPOLLOUT) != 0 || broken) {
    if (!pump(id, other(side))) return;
  }
  const bool tls_output = (events & EPOLLOUT) != 0 && pair.leg[side].tls;
  if ((events & EPOLLIN) != 0 || broken || tls_output) {
    if (!pump(id, side)) return;
  }
  // Hung up, but its last bytes wait for a blocked receiver: without this the set would report it
  // for ever. It comes back when the direction moves again.
  Leg& leg = pairs_[id].leg[side];
  if (broken && (leg.interest & kIn) == 0 && leg.registered) {
    poller_.remove(leg.fd.get());
    leg.registered = false;
    leg.interest = 0;
  }
}

// Moves what there is from one leg to the other. False when the session has ended.
bool SpliceRelay::pump(Id id, std::uint8_t from) {
  Pair& pair = pairs_[id];
  const std::uint8_t to = other(from);
  if (pair.leg[from].done) return true;
  bool emptied = false;
  const int rounds = pair.leg[from].tls ? kTlsRoundsMax : kRoundsMax;
  for (int round = 0;; ++round) {
    ssize_t n = 0;
    bool more = !emptied && round < rounds;
    const Moved moved = move_once(pair, from, more, n);
    if (moved == Moved::kEnded) {
      end(id, pair.left ? RelayEnd::kLeft : failed_at(to, errno));
      return false;
    }
    const bool ended = moved == Moved::kAll && pair.leg[from].eof;
    if (moved == Moved::kBlocked || (ended && !close_tls(pair, from))) {
      set_interest(id, to, pair.leg[to].interest | EPOLLOUT);
      set_interest(id, from, pair.leg[from].interest & ~kIn);
      return true;
    }
    if (ended) return finish_direction(id, from);
    if (!more) break;
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      end(id, failed_at(from, errno));
      return false;
    }
    pair.leg[from].eof = n == 0;
    emptied = n < 0 || (n != 0 && n < kShortRead && !pair.leg[from].tls);
  }
  if (!pair.leg[to].read_waits) set_interest(id, to, pair.leg[to].interest & ~kOut);
  const std::uint32_t interest = pair.leg[from].interest;
  set_interest(id, from, pair.leg[from].read_waits ? (interest & ~kIn) | kOut : interest | kIn);
  return true;
}

// What waits goes first, then one read if `more` is wanted; n and errno as of it. `more` becomes
// false if nothing was read.
SpliceRelay::Moved SpliceRelay::move_once(Pair& pair, std::uint8_t from, bool& more, ssize_t& n) {
  const Moved drained = pair.copied[from] ? drain_held(pair, from) : drain_pipe(pair, from);
  more = more && drained == Moved::kAll && !pair.leg[from].eof;
  if (!more) return drained;
  if (pair.copied[from]) return copy_through(pair, from, n);
  return fill_pipe(pair, from, n) ? Moved::kAll : copy_once(pair, from, n);
}

SpliceRelay::Moved SpliceRelay::drain_pipe(Pair& pair, std::uint8_t from) {
  if (pair.in_pipe[from] == 0) return Moved::kAll;
  const std::uint8_t to = other(from);
  while (pair.in_pipe[from] > 0) {
    const ssize_t n = ::splice(pair.pipe[from].read_end.get(), nullptr, pair.leg[to].fd.get(),
                               nullptr, pair.in_pipe[from], SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? Moved::kBlocked : Moved::kEnded;
    }
    if (n == 0) {
      errno = EPIPE;
      return Moved::kEnded;
    }
    pair.in_pipe[from] -= static_cast<std::uint32_t>(n);
    count(pair, from, n);
  }
  pipes_.give_back(std::exchange(pair.pipe[from], Pipe{}));
  return Moved::kAll;
}

// One read into a pipe; n as splice() returned it, errno with it. False: no pipe to be had.
bool SpliceRelay::fill_pipe(Pair& pair, std::uint8_t from, ssize_t& n) {
  pair.pipe[from] = pipes_.take();
  if (!pair.pipe[from]) return false;
  n = splice_in(pair, from);
  if (n > 0) {
    if (settings_.delay_ms > 0 && n < kShortRead && pair.second[from].is_due()) {
      const ssize_t rest = splice_in(pair, from);
      pair.second[from].note(rest > 0);
      n += std::max<ssize_t>(rest, 0);  // an end or a fault is there again at the next read
    }
    pair.in_pipe[from] = static_cast<std::uint32_t>(n);
  } else {
    const int error = errno;
    pipes_.give_back(std::exchange(pair.pipe[from], Pipe{}));
    errno = error;
  }
  return true;
}

ssize_t SpliceRelay::splice_in(const Pair& pair, std::uint8_t from) const {
  return ::splice(pair.leg[from].fd.get(), nullptr, pair.pipe[from].write_end.get(), nullptr,
                  kMoveBytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

// The way through user space for when no descriptor is left for a pipe: nobody's session ends
// because others are too many. What the receiver does not take stays in the sender's socket, so
// nothing has to be kept. n as recv() returned it, errno with it.
SpliceRelay::Moved SpliceRelay::copy_once(Pair& pair, std::uint8_t from, ssize_t& n) {
  const int sender = pair.leg[from].fd.get();
  copy_buffer_.resize(kShortRead);
  n = ::recv(sender, copy_buffer_.data(), copy_buffer_.size(), MSG_PEEK | MSG_DONTWAIT);
  if (n <= 0) return Moved::kAll;
  const ssize_t sent = ::send(pair.leg[other(from)].fd.get(), copy_buffer_.data(),
                              static_cast<std::size_t>(n), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return errno == EAGAIN || errno == EINTR ? Moved::kBlocked : Moved::kEnded;
  static_cast<void>(
      ::recv(sender, copy_buffer_.data(), static_cast<std::size_t>(sent), MSG_DONTWAIT));
  count(pair, from, sent);
  return sent < n ? Moved::kBlocked : Moved::kAll;
}

// With TLS or a watch: one read into the buffer of all, and what it brought to the receiver. What
// the receiver does not take is held, and nothing more is read until it is gone. n and errno as of
// recv().
SpliceRelay::Moved SpliceRelay::copy_through(Pair& pair, std::uint8_t from, ssize_t& n) {
  copy_buffer_.resize(kShortRead);
  n = read_leg(pair.leg[from]);
  if (n <= 0) return Moved::kAll;
  ByteView rest(copy_buffer_.data(), static_cast<std::size_t>(n));
  const bool watched = pair.watched == (from == 0 ? Watched::kClient : Watched::kOrigin);
  pair.left = watched && !handlers_.on_watched(pair.owner, rest);
  if (pair.left && from == 0) return Moved::kEnded;
  const Moved moved = write_some(pair, from, rest);
  if (pair.left) return Moved::kEnded;
  if (moved == Moved::kBlocked) {
    pair.held[from].assign(rest.begin(), rest.end());
    pair.in_pipe[from] = static_cast<std::uint32_t>(rest.size());
  }
  return moved;
}

SpliceRelay::Moved SpliceRelay::drain_held(Pair& pair, std::uint8_t from) {
  if (pair.in_pipe[from] == 0) return Moved::kAll;
  ByteView rest = ByteView(pair.held[from]).last(pair.in_pipe[from]);
  const Moved moved = write_some(pair, from, rest);
  pair.in_pipe[from] = static_cast<std::uint32_t>(rest.size());
  if (moved == Moved::kAll) pair.held[from] = {};
  return moved;
}

ssize_t SpliceRelay::read_leg(Leg& leg) {
  if (!leg.tls) return ::recv(leg.fd.get(), copy_buffer_.data(), copy_buffer_.size(), 0);
  std::size_t n = 0;
  const net::TlsStatus status = leg.tls->read(copy_buffer_, n);
  leg.read_waits = status == net::TlsStatus::kBlocked && leg.tls->wants_write();
  leg.truncated = status == net::TlsStatus::kTruncated;
  switch (status) {
    case net::TlsStatus::kOk:
      return static_cast<ssize_t>(n);
    case net::TlsStatus::kClosed:
    case net::TlsStatus::kTruncated:
      return 0;
    case net::TlsStatus::kBlocked:
      errno = EAGAIN;
      return -1;
    case net::TlsStatus::kFailed:
      break;
  }
  return -1;
}

// Takes from `rest` what the receiver takes.
SpliceRelay::Moved SpliceRelay::write_some(Pair& pair, std::uint8_t from, ByteView& rest) {
  const Leg& leg = pair.leg[other(from)];
  while (!rest.empty()) {
    std::size_t n = 0;
    if (leg.tls) {
      const net::TlsStatus status = leg.tls->write(rest, n);
      if (status == net::TlsStatus::kBlocked) return Moved::kBlocked;
      if (status != net::TlsStatus::kOk) return Moved::kEnded;
    } else {
      const ssize_t sent =
          ::send(leg.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) return errno == EAGAIN ? Moved::kBlocked : Moved::kEnded;
      n = static_cast<std::size_t>(sent);
    }
    rest = rest.subspan(n);
    count(pair, from, static_cast<ssize_t>(n));
  }
  return Moved::kAll;
}

// The receiver learns that this is the whole. Not after a sender that broke off: then it is to
// notice too. False: it must wait for the socket.
bool SpliceRelay::close_tls(const Pair& pair, std::uint8_t from) {
  const Leg& leg = pair.leg[other(from)];
  return !leg.tls || pair.leg[from].truncated || leg.tls->close();
}

void SpliceRelay::count(Pair& pair, std::uint8_t from, ssize_t n) {
  pair.last_move_ms = monotonic_ms();
  const auto moved = static_cast<std::uint64_t>(n);
  handlers_.on_bytes(pair.owner, from == 0 ? moved : 0, from == 0 ? 0 : moved);
}

// The sender has ended and all that it sent is delivered.
bool SpliceRelay::finish_direction(Id id, std::uint8_t from) {
  Pair& pair = pairs_[id];
  const std::uint8_t to = other(from);
  pair.leg[from].done = true;
  if (pair.leg[to].done) {
    end(id, closed_by(pair.first_eof));
    return false;
  }
  pair.first_eof = from;
  pair.eof_ms = monotonic_ms();
  ::shutdown(pair.leg[to].fd.get(), SHUT_WR);
  set_interest(id, to, pair.leg[to].interest & ~kOut);
  set_interest(id, from, pair.leg[from].interest & ~kIn);
  return true;
}

void SpliceRelay::set_interest(Id id, std::uint8_t side, std::uint32_t events) {
  Pair& pair = pairs_[id];
  Leg& leg = pair.leg[side];
  if (leg.interest == events) return;
  leg.interest = events;
  watch(id, side);
}

void SpliceRelay::watch(Id id, std::uint8_t side) {
  Leg& leg = pairs_[id].leg[side];
  const std::uint64_t token = Token{id, pairs_[id].generation, side}.pack();
  leg.registered = (!leg.registered && poller_.add(leg.fd.get(), leg.interest, token)) ||
                   poller_.modify(leg.fd.get(), leg.interest, token);
  leg.lost = !leg.registered;
}

// False when one of the legs still cannot be watched: nothing would move it, or end it.
bool SpliceRelay::watch_again(Id id) {
  for (std::uint8_t side = 0; side < 2; ++side) {
    if (!pairs_[id].leg[side].lost) continue;
    watch(id, side);
    if (!pairs_[id].leg[side].lost) continue;
    const int error = errno;
    std::uint64_t suppressed = 0;
    if (log_.take(monotonic_ms(), suppressed)) {
      LogLine(LogLevel::kError, "a session ends, the kernel does not watch its socket")
          .field("side", side == 0 ? "client" : "origin")
          .field("error", std::strerror(error))
          .field("suppressed", suppressed);
    }
    return false;
  }
  return true;
}

void SpliceRelay::sweep(std::uint64_t now_ms) {
  for (Id id = 0; id < pairs_.size(); ++id) {
    const Pair& pair = pairs_[id];
    if (!pair.used) continue;
    if (!watch_again(id)) {
      end(id, RelayEnd::kUnwatched);
      continue;
    }
    if (now_ms < pair.last_move_ms) continue;
    const std::uint64_t quiet = now_ms - pair.last_move_ms;
    if (pair.eof_ms != 0 && quiet >= settings_.linger_ms &&
        now_ms >= pair.eof_ms + settings_.linger_ms) {
      end(id, closed_by(pair.first_eof));
    } else if (pair.in_pipe[0] + pair.in_pipe[1] > 0 && quiet >= settings_.stall_ms) {
      end(id, RelayEnd::kStalled);
    } else if (quiet >= settings_.idle_ms) {
      end(id, RelayEnd::kIdle);
    }
  }
}

void SpliceRelay::end(Id id, RelayEnd why) {
  const std::uint64_t owner = pairs_[id].owner;
  release(id);
  handlers_.on_end(owner, why);
}

void SpliceRelay::release(Id id) {
  Pair& pair = pairs_[id];
  if (!pair.used) return;
  pair.used = false;
  ++pair.generation;
  pair.leg = {};
  pair.pipe = {};  // one that still holds bytes is not fit for the pool
  pair.held = {};
  pair.in_pipe = {};
  free_.push_back(id);
  if (--active_ == 0) poller_.pause();
}

}  // namespace weir
