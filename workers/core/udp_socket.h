// Datagrams in batches: receiving with the address that they came to and with what the kernel has
// joined (UDP_GRO), sending from that address and as segments of one call (UDP_SEGMENT). Owner: one
// relay; buffers are reused, so what receive() shows is valid until the next call. Errors: a packet
// that cannot be sent is dropped and counted, as on any network.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/endpoint.h"

namespace weir {

// One packet, or several of `segment` bytes each, the last of which may be shorter.
struct UdpPiece {
  ByteView bytes;
  std::size_t segment = 0;

  std::size_t packets() const { return bytes.empty() ? 1 : (bytes.size() + segment - 1) / segment; }
};

class UdpReceiver {
 public:
  static constexpr std::size_t kBatch = 32;

  UdpReceiver();
  // Fills the batch: the number of messages, or -errno (-EAGAIN: nothing there).
  int receive(int fd);
  bool full(int count) const { return count == static_cast<int>(kBatch); }

  // Of the last receive(). REQUIRES: i is below its result.
  UdpPiece piece(std::size_t i) const;
  Endpoint from(std::size_t i) const;
  // Where the packet was sent to; empty when the socket has no IP_PKTINFO. Without the port.
  Endpoint to(std::size_t i) const;

 private:
  static constexpr std::size_t kControlBytes = 128;
  struct Message {
    sockaddr_storage from;
    alignas(cmsghdr) std::array<std::uint8_t, kControlBytes> control;
  };

  std::vector<std::uint8_t> bytes_;
  std::vector<Message> messages_;
  std::array<iovec, kBatch> iov_{};
  std::array<mmsghdr, kBatch> headers_{};
};

// The way of one packet out of a socket.
struct UdpPath {
  int fd = -1;
  bool v6_socket = false;  // IPv4 addresses travel mapped
  Endpoint to;             // empty: the socket is connected
  Endpoint from;           // source address; empty: the kernel's choice
};

struct UdpSent {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::uint64_t dropped = 0;
  bool refused = false;         // the peer's port is closed (ICMP)
  bool cannot_segment = false;  // this path takes no UDP_SEGMENT; what waited went out plain
};

class UdpSender {
 public:
  // Sends the pieces in order, joined to segmented calls where `segment` allows it.
  UdpSent send(const UdpPath& path, std::span<const UdpPiece> pieces, bool segment);

 private:
  static constexpr std::size_t kMessages = 64;
  static constexpr std::size_t kParts = 256;
  // Room for an address and for a segment size.
  static constexpr std::size_t kControlBytes =
      CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(std::uint16_t));
  struct Message {
    std::size_t packets = 0;
    std::size_t bytes = 0;
    std::size_t segment = 0;
    alignas(cmsghdr) std::array<std::uint8_t, kControlBytes> control;
  };

  void set_path(const UdpPath& path);
  bool room_for(const UdpPiece& piece) const;
  bool joins(const UdpPiece& piece) const;
  void add(const UdpPiece& piece, bool segment);
  void add_message(const UdpPiece& piece);
  void flush(UdpSent& out);
  void send_plain(std::size_t index, UdpSent& out);
  void write_control(std::size_t index);

  int fd_ = -1;
  sockaddr_storage to_{};
  socklen_t to_length_ = 0;
  std::array<std::uint8_t, kControlBytes> source_{};  // control message with the source address
  std::size_t source_length_ = 0;
  std::size_t message_count_ = 0;
  std::size_t part_count_ = 0;
  std::array<iovec, kParts> parts_{};
  std::array<Message, kMessages> messages_{};
  std::array<mmsghdr, kMessages> headers_{};
};

}  // namespace weir
