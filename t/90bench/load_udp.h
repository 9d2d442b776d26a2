// UDP of the load tools: opening a socket, receiving in batches, counting what was lost.
//
// Owner: t/90bench. A batch owns its buffers; what it shows is valid until the next receive(). The
// descriptors live as long as the tool. Errors: a socket that cannot be opened ends the tool.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/endpoint.h"
#include "t/90bench/load_measure.h"

namespace weir::load {

// Non-blocking: bound to `at`, or connected to it. Its buffers hold some tenths of a second.
inline int open_udp(const Endpoint& at, bool server) {
  constexpr int kBufferBytes = 8 << 20;
  sockaddr_storage address{};
  const socklen_t length = to_sockaddr(at, address);
  const int fd = ::socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kBufferBytes, sizeof kBufferBytes) != 0)
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kBufferBytes, sizeof kBufferBytes);
  if (::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kBufferBytes, sizeof kBufferBytes) != 0)
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kBufferBytes, sizeof kBufferBytes);
  const auto* plain = reinterpret_cast<const sockaddr*>(&address);  // the socket API's own idiom
  const int rc = server ? ::bind(fd, plain, length) : ::connect(fd, plain, length);
  if (fd < 0 || rc != 0) {
    std::perror(server ? "bind" : "connect");
    std::exit(1);
  }
  return fd;
}

class UdpBatch {
 public:
  static constexpr int kPackets = 64;
  static constexpr std::size_t kPacketMax = 2048;

  UdpBatch() : bytes_(kPackets * kPacketMax) {
    for (std::size_t i = 0; i < kPackets; ++i) {
      iov_[i] = {bytes_.data() + i * kPacketMax, kPacketMax};
      messages_[i].msg_hdr.msg_iov = &iov_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }
  UdpBatch(const UdpBatch&) = delete;
  UdpBatch& operator=(const UdpBatch&) = delete;

  // How many packets came; not above 0 if there are none.
  int receive(int fd) {
    for (std::size_t i = 0; i < kPackets; ++i) {
      messages_[i].msg_hdr.msg_name = &from_[i];
      messages_[i].msg_hdr.msg_namelen = sizeof from_[i];
    }
    return ::recvmmsg(fd, messages_.data(), kPackets, MSG_DONTWAIT, nullptr);
  }
  ByteView packet(int i) const {
    const auto at = static_cast<std::size_t>(i);
    return {bytes_.data() + at * kPacketMax, messages_[at].msg_len};
  }
  const sockaddr_storage& from(int i) const { return from_[static_cast<std::size_t>(i)]; }
  socklen_t from_length(int i) const {
    return messages_[static_cast<std::size_t>(i)].msg_hdr.msg_namelen;
  }

 private:
  std::vector<std::uint8_t> bytes_;
  std::array<iovec, kPackets> iov_{};
  std::array<sockaddr_storage, kPackets> from_{};
  std::array<mmsghdr, kPackets> messages_{};
};

// One direction of one session: the number that comes next.
struct UdpInbound {
  std::uint64_t next = 0;
  bool started = false;
};

// What all sessions of one direction have received.
struct UdpTotals {
  std::uint64_t packets = 0, lost = 0, late = 0;
  Histogram latency;

  void count(UdpInbound& in, std::uint64_t number, std::int64_t age_ns) {
    ++packets;
    if (in.started && number < in.next) {
      ++late;
      if (lost > 0) --lost;
    } else {
      if (in.started) lost += number - in.next;
      in.started = true;
      in.next = number + 1;
    }
    latency.add(age_ns);
  }
  std::string json() const {
    char out[256];
    std::snprintf(out, sizeof out,
                  "{\"packets\":%llu,\"lost\":%llu,\"late\":%llu,\"p50_ms\":%.3f,\"p99_ms\":%.3f}",
                  static_cast<unsigned long long>(packets), static_cast<unsigned long long>(lost),
                  static_cast<unsigned long long>(late), latency.percentile_ms(0.5),
                  latency.percentile_ms(0.99));
    return out;
  }
};

}  // namespace weir::load
