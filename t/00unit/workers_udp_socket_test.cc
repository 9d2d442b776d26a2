// Batches of datagrams on the loopback: what is sent in pieces arrives packet by packet, joined or
// not, from the address that was asked for.
#include <doctest/doctest.h>
#include <netinet/udp.h>

#include <numeric>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/net/tcp.h"
#include "workers/core/udp_socket.h"

using namespace weir;

namespace {

UniqueFd bound_socket(const Endpoint& address, bool joined = false) {
  sockaddr_storage storage{};
  const socklen_t length = to_sockaddr(address, storage);
  UniqueFd fd(::socket(storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  const int bytes = 4 << 20;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  ::setsockopt(fd.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
  if (storage.ss_family == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  }
  if (joined) ::setsockopt(fd.get(), SOL_UDP, UDP_GRO, &on, sizeof on);
  REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), length) == 0);
  return fd;
}

struct Packet {
  std::string bytes;
  Endpoint from;
  Endpoint to;
};

std::vector<Packet> receive_all(UdpReceiver& receiver, int fd) {
  std::vector<Packet> out;
  for (int n = receiver.receive(fd); n > 0; n = receiver.receive(fd)) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
      const UdpPiece piece = receiver.piece(i);
      for (std::size_t at = 0; at < piece.bytes.size(); at += piece.segment) {
        const std::size_t size = std::min(piece.segment, piece.bytes.size() - at);
        out.push_back({std::string(as_text(piece.bytes.subspan(at, size))), receiver.from(i),
                       receiver.to(i)});
      }
    }
  }
  return out;
}

std::vector<std::string> packets_of(const std::vector<std::size_t>& sizes) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    out.emplace_back(sizes[i], static_cast<char>('a' + i % 26));
  }
  return out;
}

std::vector<UdpPiece> pieces_of(const std::vector<std::string>& packets) {
  std::vector<UdpPiece> out;
  for (const std::string& packet : packets) out.push_back({as_bytes(packet), packet.size()});
  return out;
}

}  // namespace

TEST_CASE("packets of all sizes arrive in order, joined or not") {
  UdpReceiver receiver;
  UdpSender sender;
  std::vector<std::size_t> sizes(70, 1200);
  sizes.insert(sizes.end(), {1200, 300, 1200, 1200, 40, 41, 40, 1, 1400, 1400, 1399});
  sizes.insert(sizes.end(), 300, 9);
  const auto packets = packets_of(sizes);
  const auto pieces = pieces_of(packets);
  for (const bool segment : {false, true}) {
    for (const bool joined : {false, true}) {
      CAPTURE(segment);
      CAPTURE(joined);
      const UniqueFd in = bound_socket(*parse_ip("127.0.0.1"), joined);
      const UniqueFd out = bound_socket(*parse_ip("127.0.0.1"));
      const UdpSent sent =
          sender.send({out.get(), false, net::local_address(in.get()), {}}, pieces, segment);
      CHECK(sent.packets == packets.size());
      CHECK(sent.bytes == std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}));
      CHECK(sent.dropped == 0);
      CHECK_FALSE(sent.cannot_segment);
      const auto got = receive_all(receiver, in.get());
      REQUIRE(got.size() == packets.size());
      for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i].bytes == packets[i]);
      CHECK(got[0].from == net::local_address(out.get()));
      CHECK(got[0].to.same_address(*parse_listen("127.0.0.1:1")));
    }
  }
}

TEST_CASE("a piece of several packets is passed on as such, and split where it must be") {
  UdpReceiver receiver;
  UdpSender sender;
  const std::string bytes(10 * 500 + 77, 'x');
  const UdpPiece piece{as_bytes(bytes), 500};
  CHECK(piece.packets() == 11);
  for (const bool segment : {false, true}) {
    const UniqueFd in = bound_socket(*parse_ip("127.0.0.1"));
    const UniqueFd out = bound_socket(*parse_ip("127.0.0.1"));
    const UdpPath path{out.get(), false, net::local_address(in.get()), {}};
    CHECK(sender.send(path, {&piece, 1}, segment).packets == 11);
    const auto got = receive_all(receiver, in.get());
    REQUIRE(got.size() == 11);
    CHECK(got[9].bytes.size() == 500);
    CHECK(got[10].bytes.size() == 77);
  }
}

TEST_CASE("where the kernel takes no segments they go out plain") {
  UdpReceiver receiver;
  UdpSender sender;
  const UniqueFd in = bound_socket(*parse_ip("127.0.0.1"));
  const UniqueFd out = bound_socket(*parse_ip("127.0.0.1"));
  const int off = 1;  // SO_NO_CHECK: without sums the kernel refuses UDP_SEGMENT
  REQUIRE(::setsockopt(out.get(), SOL_SOCKET, SO_NO_CHECK, &off, sizeof off) == 0);
  const auto packets = packets_of({1000, 1000, 1000, 200});
  const UdpSent sent =
      sender.send({out.get(), false, net::local_address(in.get()), {}}, pieces_of(packets), true);
  CHECK(sent.cannot_segment);
  CHECK(sent.packets == 4);
  CHECK(sent.dropped == 0);
  CHECK(receive_all(receiver, in.get()).size() == 4);
}

TEST_CASE("a packet leaves from the address that is asked for") {
  UdpReceiver receiver;
  UdpSender sender;
  const UniqueFd in = bound_socket(*parse_ip("127.0.0.1"));
  const UniqueFd out = bound_socket(*parse_ip("0.0.0.0"));
  const auto packets = packets_of({100, 100});
  for (const char* source : {"127.0.0.1:1", "127.0.0.33:1"}) {
    const Endpoint from = *parse_listen(source);
    sender.send({out.get(), false, net::local_address(in.get()), from}, pieces_of(packets), true);
    const auto got = receive_all(receiver, in.get());
    REQUIRE(got.size() == 2);
    CHECK(got[0].from.same_address(from));
  }
}

TEST_CASE("a closed port of the peer is told, and costs no other packet") {
  UdpReceiver receiver;
  UdpSender sender;
  UniqueFd in = bound_socket(*parse_ip("127.0.0.1"));
  const Endpoint where = net::local_address(in.get());
  const UniqueFd out = bound_socket(*parse_ip("127.0.0.1"));
  sockaddr_storage storage{};
  const socklen_t length = to_sockaddr(where, storage);
  REQUIRE(::connect(out.get(), reinterpret_cast<const sockaddr*>(&storage), length) == 0);
  in.reset();
  const auto packets = packets_of({100});
  const UdpPath path{out.get(), false, {}, {}};
  CHECK(sender.send(path, pieces_of(packets), true).packets == 1);  // answered by ICMP
  in = bound_socket(where);
  const UdpSent sent = sender.send(path, pieces_of(packets), true);
  CHECK(sent.refused);
  CHECK(sent.packets == 1);
  CHECK(receive_all(receiver, in.get()).size() == 1);
}
