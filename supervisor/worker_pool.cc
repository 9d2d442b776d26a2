#include "supervisor/worker_pool.h"

#include <sys/epoll.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "common/base/log.h"
#include "ipc/counters.h"

namespace weir {
namespace {

constexpr int kBatch = 64;  // messages of one worker before the others get their turn
constexpr int kLastWords = 100000;
constexpr int kReapsAtOnce = 16;  // a generation that leaves must not hold up the others

}  // namespace

Result<void> WorkerPool::set_up() {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return fail_errno("cannot make an epoll instance", errno);
  return {};
}

bool WorkerPool::watch_input(int fd, std::uint64_t token) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = token;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

WorkerProcess* WorkerPool::find(std::uint32_t page) {
  const auto found = processes_.find(page);
  return found == processes_.end() ? nullptr : &found->second;
}

std::size_t WorkerPool::count(std::uint32_t generation) const {
  return static_cast<std::size_t>(std::count_if(
      processes_.begin(), processes_.end(),
      [generation](const auto& entry) { return entry.second.generation == generation; }));
}

// ---- channels

void WorkerPool::watch(WorkerProcess& process, std::uint32_t page, bool writable) {
  if (process.writable_wanted == writable) return;
  epoll_event event{};
  event.events = EPOLLIN | (writable ? static_cast<std::uint32_t>(EPOLLOUT) : 0U);
  event.data.u64 = page;
  // If it fails, watch_again() sends what waits.
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, process.channel.fd(), &event) == 0) {
    process.writable_wanted = writable;
  }
}

void WorkerPool::watch_again() {
  for (auto& [page, process] : processes_) {
    if (process.channel.queued() == 0 || process.writable_wanted) continue;
    if (!process.channel.flush()) watch(process, page, true);
  }
}

bool WorkerPool::send_bytes(WorkerProcess& process, std::uint32_t page, ByteView bytes,
                            int pass_fd) {
  switch (process.channel.send(bytes, pass_fd)) {
    case ipc::SendStatus::kSent:
      return true;
    case ipc::SendStatus::kQueued:
      watch(process, page, true);
      return true;
    case ipc::SendStatus::kFull:
    case ipc::SendStatus::kClosed:
      return false;
  }
  return false;
}

void WorkerPool::on_channel(std::uint32_t page, std::uint32_t events) {
  const auto found = processes_.find(page);
  if (found == processes_.end()) return;
  WorkerProcess& process = found->second;
  if ((events & EPOLLOUT) != 0 && process.channel.flush()) watch(process, page, false);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  if (receive_batch(page, kBatch)) return;
  // It is about to end, or it is broken: without a channel it can do nothing that we count.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, process.channel.fd(), nullptr);
}

// False when the channel is closed.
bool WorkerPool::receive_batch(std::uint32_t page, int limit) {
  WorkerProcess& process = processes_.at(page);
  for (int i = 0; i < limit; ++i) {
    const ipc::Received received = process.channel.receive();
    if (received.status == ipc::ReceiveStatus::kEmpty) return true;
    if (received.status == ipc::ReceiveStatus::kClosed) return false;
    handlers_.on_message(process, page, received.bytes);
  }
  return true;
}

// ---- processes

bool WorkerPool::reap() {
  for (int i = 0; i < kReapsAtOnce; ++i) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return false;
    const auto found = std::find_if(processes_.begin(), processes_.end(),
                                    [pid](const auto& entry) { return entry.second.pid == pid; });
    if (found != processes_.end()) on_end(found->first, status);
  }
  return true;
}

void WorkerPool::on_end(std::uint32_t page, int status) {
  // What it said before it ended still counts; the socket's buffer bounds how much that is.
  receive_batch(page, kLastWords);
  const WorkerProcess process = std::move(processes_.at(page));
  processes_.erase(page);
  handlers_.on_end(page, process, status);
}

// Counted in beats of the master, not in time: one that was itself stopped blames nobody.
void WorkerPool::end_hung(const ipc::StateWriter& state, std::uint64_t limit) {
  for (auto& [page, process] : processes_) {
    const std::uint64_t beats = state.worker_beats(page);
    process.beats_missed = beats == process.beats ? process.beats_missed + 1 : 0;
    process.beats = beats;
    if (process.beats_missed <= limit + 1) continue;
    // The first try leaves a core dump, where the limit allows one; a stopped process needs the
    // other.
    const bool again = process.beats_missed > limit + 2;
    ::kill(process.pid, again ? SIGKILL : SIGABRT);
    if (again) continue;
    LogLine(LogLevel::kError, "worker hangs, ending it")
        .field("kind", to_string(process.kind))
        .field("slot", process.slot)
        .field("worker_pid", process.pid)
        .field("silent_s", process.beats_missed * ipc::kBeatMs / 1000);
  }
}

void WorkerPool::kill_all(std::uint32_t generation) {
  for (auto& [page, process] : processes_) {
    if (process.generation != generation) continue;
    process.told_to_leave = true;
    ::kill(process.pid, SIGKILL);
  }
}

}  // namespace weir
