// WorkerPool: the processes of the workers and the channels to them: what they say is handed on,
// what is said to them waits while it cannot go, those that ended or hang are found. Owner: the
// master's loop, one thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>

#include "common/base/result.h"
#include "ipc/channel.h"
#include "ipc/messages.h"
#include "ipc/state_writer.h"

namespace weir {

struct WorkerProcess {
  pid_t pid = 0;
  std::uint32_t generation = 0;
  ipc::WorkerKind kind = ipc::WorkerKind::kControl;
  std::uint16_t slot = 0;
  ipc::Channel channel;
  std::uint64_t started_ms = 0;
  bool ready = false;
  bool told_to_leave = false;
  bool writable_wanted = false;
  std::uint64_t beats = 0;         // of its loop, when the master looked last
  std::uint32_t beats_missed = 0;  // in a row
};

class WorkerPool {
 public:
  struct Handlers {
    std::function<void(WorkerProcess& from, std::uint32_t page, ByteView message)> on_message;
    // It has ended, and all that it said has been handed on.
    std::function<void(std::uint32_t page, const WorkerProcess& process, int status)> on_end;
  };
  explicit WorkerPool(Handlers handlers) : handlers_(std::move(handlers)) {}

  // Makes the epoll instance that channels and whatever else the master reads are watched with.
  Result<void> set_up();
  int events() const { return epoll_.get(); }
  // `token`: in epoll_event.data.u64; channels have their page.
  bool watch_input(int fd, std::uint64_t token);

  // REQUIRES: its channel is watched.
  void add(std::uint32_t page, WorkerProcess process) {
    processes_.emplace(page, std::move(process));
  }
  // Null: there is none.
  WorkerProcess* find(std::uint32_t page);
  std::map<std::uint32_t, WorkerProcess>& all() { return processes_; }
  std::size_t size() const { return processes_.size(); }
  std::size_t count(std::uint32_t generation) const;

  // False: its channel is full or closed.
  template <typename M>
  bool send(WorkerProcess& to, std::uint32_t page, M& message, int pass_fd = -1) {
    return send_bytes(to, page, ipc::encode(message), pass_fd);
  }
  bool send_bytes(WorkerProcess& to, std::uint32_t page, ByteView bytes, int pass_fd);
  // Drain and Quit: there are few of them, and they must arrive however much waits already.
  template <typename M>
  void order(WorkerProcess& to, std::uint32_t page, M& message) {
    to.told_to_leave = true;
    const auto status = to.channel.send(ipc::encode(message), -1, kNoLimit);
    if (status == ipc::SendStatus::kQueued) watch(to, page, true);
  }

  void on_channel(std::uint32_t page, std::uint32_t events);
  // Each beat: messages that wait although nobody looks whether they can go.
  void watch_again();
  // Takes note of those that have ended. True: there may be more, which have their turn later.
  bool reap();
  // Each beat: ends those whose loop has stood still for more than `limit` beats of the master.
  void end_hung(const ipc::StateWriter& state, std::uint64_t limit);
  void kill_all(std::uint32_t generation);

 private:
  static constexpr std::size_t kNoLimit = ~std::size_t{0};  // of a channel's queue
  void watch(WorkerProcess& process, std::uint32_t page, bool writable);
  bool receive_batch(std::uint32_t page, int limit);
  void on_end(std::uint32_t page, int status);

  Handlers handlers_;
  UniqueFd epoll_;
  std::map<std::uint32_t, WorkerProcess> processes_;  // by page
};

}  // namespace weir
