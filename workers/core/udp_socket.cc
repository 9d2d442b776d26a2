#include "workers/core/udp_socket.h"

#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace weir {
namespace {

constexpr std::size_t kDatagramMax = 65536;
// Buffers of exactly 64 kB would share the same few lines of the processor's cache.
constexpr std::size_t kStride = kDatagramMax + 2 * 64;
// What the kernel takes in one segmented call: UDP_MAX_SEGMENTS of the oldest kernels, and the
// largest IP packet without its headers.
constexpr std::size_t kSegmentsMax = 64;
constexpr std::size_t kSegmentedBytesMax = 65000;

// IPv4 addresses in the form that an IPv6 socket takes (RFC 4291, section 2.5.5.2).
Endpoint mapped(const Endpoint& endpoint) {
  if (endpoint.family != Family::kIpv4) return endpoint;
  Endpoint out = endpoint;
  out.family = Family::kIpv6;
  std::memset(out.ip, 0, sizeof out.ip);
  out.ip[10] = out.ip[11] = 0xFF;
  std::memcpy(out.ip + 12, endpoint.ip, 4);
  return out;
}

Endpoint unspecific_v6(const in6_addr& address) {
  sockaddr_storage storage{};
  storage.ss_family = AF_INET6;
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);  // the socket API's own idiom
  v6->sin6_addr = address;
  return from_sockaddr(storage);
}

template <typename T>
std::size_t put_control(std::uint8_t* out, int level, int type, const T& value) {
  cmsghdr header{};
  header.cmsg_level = level;
  header.cmsg_type = type;
  header.cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(out, &header, sizeof header);
  std::memcpy(out + CMSG_LEN(0), &value, sizeof value);
  return CMSG_SPACE(sizeof value);
}

// The value of a control message of this kind; false if there is none.
template <typename T>
bool find_control(const msghdr& message, int level, int type, T& out) {
  msghdr copy = message;
  for (cmsghdr* c = CMSG_FIRSTHDR(&copy); c != nullptr; c = CMSG_NXTHDR(&copy, c)) {
    if (c->cmsg_level != level || c->cmsg_type != type) continue;
    std::memcpy(&out, CMSG_DATA(c), sizeof out);
    return true;
  }
  return false;
}

}  // namespace

UdpReceiver::UdpReceiver() : bytes_(kBatch * kStride), messages_(kBatch) {
  for (std::size_t i = 0; i < kBatch; ++i) {
    iov_[i] = {bytes_.data() + i * kStride, kDatagramMax};
    msghdr& header = headers_[i].msg_hdr;
    header.msg_name = &messages_[i].from;
    header.msg_iov = &iov_[i];
    header.msg_iovlen = 1;
    header.msg_control = messages_[i].control.data();
  }
}

int UdpReceiver::receive(int fd) {
  for (mmsghdr& header : headers_) {
    header.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
    header.msg_hdr.msg_controllen = kControlBytes;
  }
  int n = 0;
  do {
    n = ::recvmmsg(fd, headers_.data(), kBatch, MSG_DONTWAIT, nullptr);
  } while (n < 0 && errno == EINTR);
  return n < 0 ? -errno : n;
}

UdpPiece UdpReceiver::piece(std::size_t i) const {
  const std::size_t size = headers_[i].msg_len;
  int segment = 0;
  UdpPiece out{{bytes_.data() + i * kStride, size}, std::max<std::size_t>(size, 1)};
  if (find_control(headers_[i].msg_hdr, SOL_UDP, UDP_GRO, segment) && segment > 0) {
    out.segment = static_cast<std::size_t>(segment);
  }
  return out;
}

Endpoint UdpReceiver::from(std::size_t i) const {
  return from_sockaddr(messages_[i].from);
}

Endpoint UdpReceiver::to(std::size_t i) const {
  in6_pktinfo v6{};
  if (find_control(headers_[i].msg_hdr, IPPROTO_IPV6, IPV6_PKTINFO, v6)) {
    return unspecific_v6(v6.ipi6_addr);
  }
  in_pktinfo v4{};
  Endpoint out;
  if (find_control(headers_[i].msg_hdr, IPPROTO_IP, IP_PKTINFO, v4)) {
    out.family = Family::kIpv4;
    std::memcpy(out.ip, &v4.ipi_addr, sizeof v4.ipi_addr);
  }
  return out;
}

void UdpSender::set_path(const UdpPath& path) {
  fd_ = path.fd;
  to_length_ = 0;
  source_length_ = 0;
  if (path.to.empty()) return;
  to_length_ = to_sockaddr(path.v6_socket ? mapped(path.to) : path.to, to_);
  if (path.from.empty()) return;
  if (path.v6_socket) {
    in6_pktinfo info{};
    const Endpoint from = mapped(path.from);
    std::memcpy(&info.ipi6_addr, from.ip, sizeof info.ipi6_addr);
    source_length_ = put_control(source_.data(), IPPROTO_IPV6, IPV6_PKTINFO, info);
  } else if (path.from.family == Family::kIpv4) {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, path.from.ip, sizeof info.ipi_spec_dst);
    source_length_ = put_control(source_.data(), IPPROTO_IP, IP_PKTINFO, info);
  }
}

UdpSent UdpSender::send(const UdpPath& path, std::span<const UdpPiece> pieces, bool segment) {
  set_path(path);
  UdpSent out;
  for (const UdpPiece& piece : pieces) {
    const bool segment_now = segment && !out.cannot_segment;
    if (segment_now || piece.packets() == 1) {
      if (!room_for(piece)) flush(out);
      add(piece, segment_now);
      continue;
    }
    for (std::size_t at = 0; at < piece.bytes.size(); at += piece.segment) {
      const std::size_t size = std::min(piece.segment, piece.bytes.size() - at);
      const UdpPiece one{piece.bytes.subspan(at, size), size};
      if (!room_for(one)) flush(out);
      add(one, false);
    }
  }
  flush(out);
  return out;
}

bool UdpSender::room_for(const UdpPiece& piece) const {
  return part_count_ < kParts && (message_count_ < kMessages || joins(piece));
}

// Whether the piece may follow in the last call: every packet of a segmented call but the last has
// the same size.
bool UdpSender::joins(const UdpPiece& piece) const {
  if (message_count_ == 0) return false;
  const Message& last = messages_[message_count_ - 1];
  if (last.segment == 0 || piece.bytes.empty() || last.bytes % last.segment != 0) return false;
  if (last.packets + piece.packets() > kSegmentsMax) return false;
  if (last.bytes + piece.bytes.size() > kSegmentedBytesMax) return false;
  return piece.segment == last.segment ||
         (piece.packets() == 1 && piece.bytes.size() < last.segment);
}

void UdpSender::add(const UdpPiece& piece, bool segment) {
  if (!segment || !joins(piece)) add_message(piece);
  Message& message = messages_[message_count_ - 1];
  message.packets += piece.packets();
  message.bytes += piece.bytes.size();
  if (!segment && piece.packets() == 1) message.segment = 0;  // nothing may be joined to it
  // The socket API takes a writable pointer to what it only reads.
  parts_[part_count_++] = {const_cast<std::uint8_t*>(piece.bytes.data()), piece.bytes.size()};
  ++headers_[message_count_ - 1].msg_hdr.msg_iovlen;
}

void UdpSender::add_message(const UdpPiece& piece) {
  Message& message = messages_[message_count_];
  message.packets = 0;
  message.bytes = 0;
  message.segment = piece.segment;
  msghdr& header = headers_[message_count_].msg_hdr;
  header = {};
  header.msg_iov = &parts_[part_count_];
  if (to_length_ != 0) {
    header.msg_name = &to_;
    header.msg_namelen = to_length_;
  }
  ++message_count_;
}

void UdpSender::write_control(std::size_t index) {
  Message& message = messages_[index];
  std::memcpy(message.control.data(), source_.data(), source_length_);
  std::size_t length = source_length_;
  if (message.packets > 1) {
    length += put_control(message.control.data() + length, SOL_UDP, UDP_SEGMENT,
                          static_cast<std::uint16_t>(message.segment));
  }
  msghdr& header = headers_[index].msg_hdr;
  header.msg_control = length == 0 ? nullptr : message.control.data();
  header.msg_controllen = length;
}

void UdpSender::flush(UdpSent& out) {
  for (std::size_t i = 0; i < message_count_; ++i) write_control(i);
  bool asked_again = false;
  for (std::size_t at = 0; at < message_count_;) {
    const int n = ::sendmmsg(fd_, &headers_[at], static_cast<unsigned>(message_count_ - at),
                             MSG_DONTWAIT | MSG_NOSIGNAL);
    for (int i = 0; i < n; ++i, ++at) {
      out.packets += messages_[at].packets;
      out.bytes += messages_[at].bytes;
      asked_again = false;
    }
    if (n > 0 || errno == EINTR) continue;
    // An ICMP error of an earlier packet is told once and has nothing to do with this one.
    if (errno == ECONNREFUSED && !asked_again) {
      out.refused = asked_again = true;
      continue;
    }
    const bool segmented = messages_[at].packets > 1;
    if (segmented && (errno == EINVAL || errno == EIO || errno == EMSGSIZE || errno == EOPNOTSUPP ||
                      errno == ENOPROTOOPT)) {
      // The device cannot sum segments up, or they are larger than the path's MTU.
      out.cannot_segment = true;
      send_plain(at, out);
    } else {
      out.dropped += messages_[at].packets;
    }
    ++at;
    asked_again = false;
  }
  message_count_ = 0;
  part_count_ = 0;
}

void UdpSender::send_plain(std::size_t index, UdpSent& out) {
  const Message& message = messages_[index];
  msghdr header = headers_[index].msg_hdr;
  header.msg_controllen = source_length_;
  if (source_length_ == 0) header.msg_control = nullptr;
  const std::span<const iovec> parts(header.msg_iov, header.msg_iovlen);
  for (const iovec& part : parts) {
    auto* bytes = static_cast<std::uint8_t*>(part.iov_base);
    for (std::size_t at = 0; at < part.iov_len; at += message.segment) {
      iovec one{bytes + at, std::min(message.segment, part.iov_len - at)};
      header.msg_iov = &one;
      header.msg_iovlen = 1;
      if (::sendmsg(fd_, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
        ++out.packets;
        out.bytes += one.iov_len;
      } else {
        ++out.dropped;
      }
    }
  }
}

}  // namespace weir
