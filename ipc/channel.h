// Channel: one end of the SOCK_SEQPACKET pair between the master and a worker. Non-blocking; what
// the socket does not take waits in a bounded queue. Owner: the process that holds it.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/fd.h"
#include "common/base/limits.h"
#include "common/base/result.h"

namespace weir::ipc {

enum class SendStatus : std::uint8_t { kSent, kQueued, kFull, kClosed };
enum class ReceiveStatus : std::uint8_t { kMessage, kEmpty, kClosed };

struct Received {
  ReceiveStatus status = ReceiveStatus::kEmpty;
  ByteView bytes;  // valid until the next receive()
  UniqueFd fd;     // a descriptor that came with it
};

class Channel {
 public:
  static Result<std::pair<Channel, Channel>> make_pair();
  explicit Channel(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  // Gives the socket up, for the process that the channel was made for.
  UniqueFd release() { return std::move(fd_); }
  // Sends, or queues up to `queue_limit` messages in all; kFull: not taken. A descriptor is sent as
  // a duplicate and only when the message can go at once.
  SendStatus send(ByteView message, int pass_fd = -1, std::size_t queue_limit = 65536);
  // Sends what is queued; call when the descriptor is writable. True when the queue is empty.
  bool flush();
  std::size_t queued() const { return queue_.size(); }
  Received receive();

 private:
  UniqueFd fd_;
  std::deque<std::vector<std::uint8_t>> queue_;
  bool closed_ = false;
  alignas(8) std::uint8_t buffer_[limits::kIpcMessageBytes] = {};
};

}  // namespace weir::ipc
