// StreamRoom: bodies of a known length, as segments have, from the origin to the client inside the
// kernel. What is short, chunked or encrypted goes through user space (http_response.cc).
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "workers/http/stream_room.h"

namespace weir::http {
namespace {

constexpr std::uint64_t kSpliceMin = 32 * 1024;  // less is copied sooner than spliced
constexpr std::size_t kMoveBytes = 512 * 1024;
constexpr unsigned kFlags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

}  // namespace

bool StreamRoom::splices(std::uint32_t index) {
  const StreamExchange& x = exchange(index);
  if (x.in_pipe > 0) return true;
  return x.stage == StreamStage::kBody && x.body.framing == Framing::kLength &&
         x.left >= kSpliceMin && !x.copies && !server_[index].side.tls && !x.upstream.tls;
}

// One move.
void StreamRoom::splice_body(std::uint32_t index, bool& progress) {
  StreamExchange& x = exchange(index);
  if (!server_[index].side.out.empty()) return;  // the head goes first
  if (x.in_pipe == 0 && !fill_pipe(index, progress)) return;
  if (x.in_pipe > 0 && !drain_pipe(index, progress)) return;
  x.output_waits = x.in_pipe > 0;
  if (x.left == 0 && x.in_pipe == 0) body_done(index);
}

// False when the exchange is over.
bool StreamRoom::fill_pipe(std::uint32_t index, bool& progress) {
  Connection& conn = server_[index];
  StreamExchange& x = exchange(index);
  Pipe pipe = pipes_.take();
  if (!pipe) {  // no descriptor is left: nobody's download ends for that
    x.copies = progress = true;
    return true;
  }
  const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(x.left, kMoveBytes));
  ssize_t n = 0;
  do {
    n = ::splice(x.upstream.fd.get(), nullptr, pipe.write_end.get(), nullptr, want, kFlags);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    x.pipe = std::move(pipe);
    x.in_pipe = static_cast<std::size_t>(n);
    x.left -= x.in_pipe;
    conn.last_move_ms = monotonic_ms();
    progress = true;
    return true;
  }
  const int error = errno;
  pipes_.give_back(std::move(pipe));
  if (n < 0 && error == EAGAIN) {
    x.upstream.readable = false;
    return true;
  }
  const char* why = n == 0 ? "closed without a whole answer" : std::strerror(error);
  origin_broke(index, EndReason::kOriginClosed, why);
  return false;
}

bool StreamRoom::drain_pipe(std::uint32_t index, bool& progress) {
  Connection& conn = server_[index];
  StreamExchange& x = exchange(index);
  while (x.in_pipe > 0 && conn.side.writable) {
    const ssize_t n =
        ::splice(x.pipe.read_end.get(), nullptr, conn.side.fd.get(), nullptr, x.in_pipe, kFlags);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      conn.side.writable = false;
      return true;
    }
    if (n <= 0) {
      server_.end(index, EndReason::kClientClosed);
      return false;
    }
    const auto moved = static_cast<std::size_t>(n);
    x.in_pipe -= moved;
    conn.last_move_ms = monotonic_ms();
    server_.note_moved(index, 0, moved);
    progress = true;
  }
  if (x.in_pipe == 0) pipes_.give_back(std::exchange(x.pipe, Pipe{}));
  return true;
}

}  // namespace weir::http
