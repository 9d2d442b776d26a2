#include "workers/core/pipe_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace weir {
namespace {

constexpr std::size_t kIdleMax = 8;
// One slot of a pipe holds one fragment of a packet, so a pipe of the default 16 slots fills up
// long before its 64 kB are used. The kernel may refuse (pipe-user-pages-soft); the default works
// too.
constexpr int kPipeBytes = 1 << 20;

}  // namespace

Pipe PipePool::take() {
  if (!idle_.empty()) {
    Pipe pipe = std::move(idle_.back());
    idle_.pop_back();
    return pipe;
  }
  int ends[2];
  if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return {};
  static_cast<void>(::fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes));
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void PipePool::give_back(Pipe pipe) {
  if (idle_.size() < kIdleMax) idle_.push_back(std::move(pipe));
}

}  // namespace weir
