#include "workers/http/http_upstream.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace weir::http {

UniqueFd UpstreamPool::take(const Endpoint& origin) {
  const auto found = idle_.find(origin);
  if (found == idle_.end()) return {};
  std::vector<Idle>& waiting = found->second;
  while (!waiting.empty()) {
    UniqueFd fd = std::move(waiting.back().fd);
    waiting.pop_back();
    char byte = 0;
    const ssize_t n = ::recv(fd.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return fd;  // open and silent, as it should be
  }
  return {};
}

void UpstreamPool::give_back(const Endpoint& origin, UniqueFd fd, std::uint64_t now_ms) {
  std::vector<Idle>& waiting = idle_[origin];
  if (waiting.size() < idle_per_origin_) waiting.push_back({std::move(fd), now_ms});
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
