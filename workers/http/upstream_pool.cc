#include "workers/http/upstream_pool.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace weir::http {
namespace {

// Open, and nothing has come, as it should be. Session tickets may have come under TLS.
bool is_silent(const UpstreamPool::Connection& connection) {
  if (connection.tls) {
    std::array<std::uint8_t, 16 * 1024> bytes;
    std::size_t n = 0;
    return connection.tls->read(bytes, n) == net::TlsStatus::kBlocked;
  }
  char byte = 0;
  const ssize_t n = ::recv(connection.fd.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && errno == EAGAIN;
}

}  // namespace

std::uint64_t UpstreamPool::open(int fd, User user) {
  const auto at = static_cast<std::size_t>(fd);
  if (at >= open_.size()) open_.resize(at + 1);
  open_[at] = {open_[at].generation + 1, user, false};
  return token_of(fd);
}

std::uint64_t UpstreamPool::token_of(int fd) const {
  const auto at = static_cast<std::uint32_t>(fd);
  return Token{at, open_[at].generation, 1}.pack();
}

std::optional<UpstreamPool::User> UpstreamPool::user_of(const Token& token) const {
  if (token.index >= open_.size()) return std::nullopt;
  const Open& open = open_[token.index];
  if (open.idle || open.generation != token.generation) return std::nullopt;
  return open.user;
}

UpstreamPool::Connection UpstreamPool::take(const Endpoint& origin, User user) {
  const auto found = idle_.find(origin);
  if (found == idle_.end()) return {};
  std::vector<Idle>& waiting = found->second;
  while (!waiting.empty()) {
    Connection found_one = std::move(waiting.back().connection);
    waiting.pop_back();
    if (!is_silent(found_one)) continue;
    Open& open = open_[static_cast<std::size_t>(found_one.fd.get())];
    open.idle = false;
    open.user = user;
    return found_one;
  }
  return {};
}

bool UpstreamPool::take_into(const Endpoint& origin, User user, Side& into) {
  Connection idle = take(origin, user);
  if (!idle.fd) return false;
  into = Side{};
  into.fd = std::move(idle.fd);
  into.tls = std::move(idle.tls);
  into.writable = true;  // an edge, had it not been
  return true;
}

void UpstreamPool::give_back(const Endpoint& origin, Connection connection, std::uint64_t now_ms) {
  std::vector<Idle>& waiting = idle_[origin];
  if (waiting.size() >= idle_per_origin_) return;
  open_[static_cast<std::size_t>(connection.fd.get())].idle = true;
  waiting.push_back({std::move(connection), now_ms});
}

void UpstreamPool::sweep(std::uint64_t now_ms) {
  for (auto it = idle_.begin(); it != idle_.end();) {
    std::vector<Idle>& waiting = it->second;
    waiting.erase(
        std::remove_if(waiting.begin(), waiting.end(),
                       [&](const Idle& idle) { return now_ms >= idle.since_ms + idle_ms_; }),
        waiting.end());
    it = waiting.empty() ? idle_.erase(it) : std::next(it);
  }
}

std::size_t UpstreamPool::size() const {
  std::size_t n = 0;
  for (const auto& [origin, waiting] : idle_) n += waiting.size();
  return n;
}

}  // namespace weir::http
