#include "ipc/channel.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace weir::ipc {
namespace {

constexpr int kSocketBufferBytes = 1
                                   << 20;  // a burst of route requests fits; the kernel may cap it

enum class Attempt : std::uint8_t { kSent, kWouldBlock, kClosed };

Attempt try_send(int fd, ByteView message, int pass_fd) {
  iovec part{};
  // sendmsg only reads; its struct has no const.
  part.iov_base = const_cast<std::uint8_t*>(message.data());
  part.iov_len = message.size();
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (pass_fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* first = CMSG_FIRSTHDR(&header);
    first->cmsg_level = SOL_SOCKET;
    first->cmsg_type = SCM_RIGHTS;
    first->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(first), &pass_fd, sizeof pass_fd);
  }
  for (;;) {
    if (::sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return Attempt::kSent;
    if (errno == EINTR) continue;
    const bool busy = errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ||
                      errno == ETOOMANYREFS || errno == ENOMEM;
    return busy ? Attempt::kWouldBlock : Attempt::kClosed;
  }
}

// The first descriptor of the control data; the kernel delivers no more than one, because there is
// room for one, but a second is closed all the same.
UniqueFd take_fd(msghdr& header) {
  UniqueFd taken;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      UniqueFd owned(fd);
      if (!taken) taken = std::move(owned);
    }
  }
  return taken;
}

}  // namespace

Result<std::pair<Channel, Channel>> Channel::make_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail_errno("cannot make a channel", errno);
  }
  UniqueFd first(ends[0]);
  UniqueFd second(ends[1]);
  for (const int fd : ends) {
    if (::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBufferBytes,
                     sizeof kSocketBufferBytes) != 0) {
      ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSocketBufferBytes, sizeof kSocketBufferBytes);
    }
  }
  return std::pair<Channel, Channel>(Channel(std::move(first)), Channel(std::move(second)));
}

SendStatus Channel::send(ByteView message, int pass_fd, std::size_t queue_limit) {
  if (closed_ || !fd_) return SendStatus::kClosed;
  if (queue_.empty()) {
    switch (try_send(fd_.get(), message, pass_fd)) {
      case Attempt::kSent:
        return SendStatus::kSent;
      case Attempt::kClosed:
        closed_ = true;
        return SendStatus::kClosed;
      case Attempt::kWouldBlock:
        break;
    }
  }
  if (pass_fd >= 0 || queue_.size() >= queue_limit) return SendStatus::kFull;
  queue_.emplace_back(message.begin(), message.end());
  return SendStatus::kQueued;
}

bool Channel::flush() {
  while (!queue_.empty() && !closed_) {
    switch (try_send(fd_.get(), queue_.front(), -1)) {
      case Attempt::kSent:
        queue_.pop_front();
        break;
      case Attempt::kWouldBlock:
        return false;
      case Attempt::kClosed:
        closed_ = true;
        break;
    }
  }
  if (closed_) queue_.clear();  // nobody will read it
  return true;
}

Received Channel::receive() {
  Received result;
  iovec part{};
  part.iov_base = buffer_;
  part.iov_len = sizeof buffer_;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t n = 0;
  do {
    n = ::recvmsg(fd_.get(), &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    result.status = ReceiveStatus::kMessage;
    result.fd = take_fd(header);
    // A longer message than any that exists: no bytes, which no message decodes from.
    if ((header.msg_flags & MSG_TRUNC) == 0) {
      result.bytes = ByteView(buffer_, static_cast<std::size_t>(n));
    }
    return result;
  }
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return result;
  result.status = ReceiveStatus::kClosed;
  return result;
}

}  // namespace weir::ipc
