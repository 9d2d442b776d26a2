// Load for UDP relays: an origin and its clients, with packets like those of WebRTC media.
//
//   udp_load origin --listen IP:PORT [--packets K] [--fps F] [--size S] [--segmented 1] [--phases
//   P] udp_load client --target IP:PORT --sessions N [--packets K] [--fps F] [--size S]
//                   [--credentials FILE] [--seconds S] [--warmup S] [--pids A,B,...]
//                   [--tools A,B,...]
//
// Every end sends a burst of K packets F times a second. The origin serves each address that it
// hears from, in P groups spread over the frame interval (players of one stream get their frames
// together, streams do not); a client's bursts are spread over the interval by its number. Packets
// look like RTP (first byte 0x80) and carry session, number and time, so both ends count loss and
// latency. With --credentials (a line `LOCAL:REMOTE PASSWORD` a session) a client proves itself by
// a STUN binding request before it sends media, and repeats it as consent (RFC 7675).
// Clients print one JSON line at the end; the origin does when it gets SIGTERM. --pids: the CPU
// time of these processes over the very window that is counted. --tools: the same for the other
// half of the load, told with that of the clients.
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/endpoint.h"
#include "t/90bench/load_main.h"
#include "t/90bench/load_measure.h"
#include "t/90bench/load_stun.h"
#include "t/90bench/load_udp.h"

namespace weir::load {
namespace {

constexpr std::size_t kSegmentedBytes = 60000;
// RTP's twelve bytes stay free; then session, number in the session, time of sending.
constexpr std::size_t kSessionAt = 12, kNumberAt = 16, kTimeAt = 24, kHeaderEnd = 32;

struct Options {
  std::string mode, address = "127.0.0.1:18000", pids, tools, credentials;
  double fps = 30, seconds = 5, warmup = 1, limit = 3600;
  int sessions = 20, packets = 17, phases = 20, size = 1200, segmented = 0;
};

void count(UdpTotals& totals, UdpInbound& in, ByteView packet, std::int64_t now) {
  totals.count(in, load_be64(packet.data() + kNumberAt),
               now - static_cast<std::int64_t>(load_be64(packet.data() + kTimeAt)));
}

// Writes one burst, as one call a packet or as few segmented ones as fit.
class Sender {
 public:
  explicit Sender(const Options& options)
      : size_(static_cast<std::size_t>(options.size)),
        packets_(options.packets),
        segmented_(options.segmented != 0),
        bytes_(size_ * static_cast<std::size_t>(options.packets), 0x55) {}

  // The number that comes after the burst's last.
  std::uint64_t burst(int fd, const sockaddr_storage* to, socklen_t to_length,
                      std::uint32_t session, std::uint64_t number) {
    const auto now = static_cast<std::uint64_t>(now_ns());
    for (int i = 0; i < packets_; ++i) {
      std::uint8_t* p = bytes_.data() + static_cast<std::size_t>(i) * size_;
      p[0] = 0x80;
      store_be32(p + kSessionAt, session);
      store_be64(p + kNumberAt, number++);
      store_be64(p + kTimeAt, now);
    }
    const std::size_t step = segmented_ ? kSegmentedBytes / size_ * size_ : size_;
    for (std::size_t at = 0; at < bytes_.size(); at += step)
      send(fd, to, to_length, at, std::min(step, bytes_.size() - at));
    return number;
  }
  std::uint64_t refused() const { return refused_; }

 private:
  void send(int fd, const sockaddr_storage* to, socklen_t to_length, std::size_t at,
            std::size_t length) {
    iovec iov{bytes_.data() + at, length};
    msghdr message{};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(std::uint16_t))] = {};
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    if (to != nullptr) {
      message.msg_name = const_cast<sockaddr_storage*>(to);
      message.msg_namelen = to_length;
    }
    if (length > size_) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* c = CMSG_FIRSTHDR(&message);
      c->cmsg_level = SOL_UDP;
      c->cmsg_type = UDP_SEGMENT;
      c->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
      const auto segment = static_cast<std::uint16_t>(size_);
      std::memcpy(CMSG_DATA(c), &segment, sizeof segment);
    }
    if (::sendmsg(fd, &message, MSG_DONTWAIT) < 0) ++refused_;
  }

  std::size_t size_;
  int packets_;
  bool segmented_;
  std::vector<std::uint8_t> bytes_;
  std::uint64_t refused_ = 0;
};

// ---- origin

struct Peer {
  sockaddr_storage address{};
  socklen_t length = 0;
  std::uint32_t session = 0;
  std::uint64_t number = 0;
  UdpInbound in;
};

class Origin {
 public:
  explicit Origin(const Options& options)
      : options_(options),
        fd_(open_udp(*parse_listen(options.address), true)),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        sender_(options),
        groups_(static_cast<std::size_t>(options.phases)) {
    epoll_event event{};
    event.events = EPOLLIN;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd_, &event);
  }

  int run() {
    const auto interval = static_cast<std::int64_t>(1e9 / options_.fps / options_.phases);
    std::int64_t next = now_ns();
    while (g_stop == 0) {
      wait(next);
      receive();
      if (now_ns() < next) continue;
      for (auto& peer : groups_[group_])
        peer->number =
            sender_.burst(fd_, &peer->address, peer->length, peer->session, peer->number);
      group_ = (group_ + 1) % groups_.size();
      next += interval;
    }
    std::printf("{\"peers\":%zu,\"up\":%s,\"refused\":%llu}\n", peers_.size(),
                totals_.json().c_str(), static_cast<unsigned long long>(sender_.refused()));
    return 0;
  }

 private:
  void wait(std::int64_t until) const {
    const std::int64_t left = until - now_ns();
    timespec time{0, std::clamp<std::int64_t>(left, 0, kSecond / 10)};
    epoll_event event{};
    ::epoll_pwait2(epoll_, &event, 1, &time, nullptr);
  }
  void receive() {
    for (int n; (n = batch_.receive(fd_)) > 0;) {
      const std::int64_t now = now_ns();
      for (int i = 0; i < n; ++i) {
        Peer& peer = find(i);
        const ByteView packet = batch_.packet(i);
        if (packet.size() >= kHeaderEnd && packet[0] == 0x80) {
          peer.session = load_be32(packet.data() + kSessionAt);
          count(totals_, peer.in, packet, now);
        }
      }
      if (n < UdpBatch::kPackets) return;
    }
  }
  Peer& find(int i) {
    const Endpoint from = from_sockaddr(batch_.from(i));
    std::string key(reinterpret_cast<const char*>(from.ip), sizeof from.ip);
    key += std::to_string(from.port);
    Peer*& peer = peers_[key];
    if (peer == nullptr) {
      auto& group = groups_[peers_.size() % groups_.size()];
      group.push_back(std::make_unique<Peer>());
      peer = group.back().get();
      peer->address = batch_.from(i);
      peer->length = batch_.from_length(i);
    }
    return *peer;
  }

  const Options& options_;
  int fd_, epoll_;
  UdpBatch batch_;
  Sender sender_;
  UdpTotals totals_;
  std::vector<std::vector<std::unique_ptr<Peer>>> groups_;
  std::unordered_map<std::string, Peer*> peers_;
  std::size_t group_ = 0;
};

// ---- clients

struct Client {
  int fd = -1;
  std::uint32_t session = 0;
  std::uint64_t number = 0;
  std::int64_t next_burst = 0, next_hello = 0;
  StunCredentials credentials;
  UdpInbound in;
};

class Clients {
 public:
  explicit Clients(const Options& options)
      : options_(options),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        sender_(options),
        clients_(static_cast<std::size_t>(options.sessions)) {
    const Endpoint target = *parse_listen(options.address);
    std::ifstream credentials(options.credentials);
    std::uint32_t number = 0;
    for (Client& client : clients_) {
      client.fd = open_udp(target, false);
      client.session = number++;
      credentials >> client.credentials.username >> client.credentials.password;
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = &client;
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, client.fd, &event);
    }
  }

  int run() {
    const std::int64_t begin = now_ns();
    const auto interval = static_cast<std::int64_t>(1e9 / options_.fps);
    for (Client& client : clients_)
      client.next_burst = begin + interval * client.session / options_.sessions;
    const std::int64_t deadline = begin + static_cast<std::int64_t>(options_.limit * 1e9);
    std::int64_t counted_from = 0, counted_until = 0;
    while (g_stop == 0) {
      const std::int64_t now = now_ns();
      send_due(now, interval);
      wait();
      if (counted_from == 0 && all_started()) {
        counted_from = now + static_cast<std::int64_t>(options_.warmup * 1e9);
        counted_until = counted_from + static_cast<std::int64_t>(options_.seconds * 1e9);
      }
      if (counted_from != 0 && !counting_ && now >= counted_from) begin_count(now);
      if (counting_ && now >= counted_until) break;
      if (now > deadline) return give_up();
    }
    return report();
  }

 private:
  bool all_started() const {
    return std::all_of(clients_.begin(), clients_.end(),
                       [](const Client& c) { return c.in.started; });
  }
  void send_due(std::int64_t now, std::int64_t interval) {
    for (Client& client : clients_) {
      if (now >= client.next_hello) greet(client, now);
      if (now < client.next_burst) continue;
      client.next_burst += interval;
      if (client.credentials.username.empty() || client.in.started) {
        client.number = sender_.burst(client.fd, nullptr, 0, client.session, client.number);
        sent_ += static_cast<std::uint64_t>(options_.packets);
      }
    }
  }
  // What makes the origin know the session: consent where there are credentials, else any packet.
  void greet(Client& client, std::int64_t now) {
    const std::string hello = client.credentials.username.empty()
                                  ? std::string("\x81")
                                  : stun_binding_request(client.credentials, ++transactions_);
    static_cast<void>(::send(client.fd, hello.data(), hello.size(), MSG_DONTWAIT));
    client.next_hello = now + (client.in.started ? 5 * kSecond / 2 : kSecond / 5);
  }
  void wait() {
    timespec time{0, kSecond / 2000};
    epoll_event events[UdpBatch::kPackets];
    const int n = ::epoll_pwait2(epoll_, events, UdpBatch::kPackets, &time, nullptr);
    for (int i = 0; i < n; ++i) receive(*static_cast<Client*>(events[i].data.ptr));
  }
  void receive(Client& client) {
    for (int n; (n = batch_.receive(client.fd)) > 0;) {
      const std::int64_t now = now_ns();
      for (int i = 0; i < n; ++i) {
        const ByteView packet = batch_.packet(i);
        if (packet.size() < kHeaderEnd || packet[0] != 0x80) continue;
        if (load_be32(packet.data() + kSessionAt) != client.session) ++foreign_;
        count(totals_, client.in, packet, now);
      }
      if (n < UdpBatch::kPackets) return;
    }
  }
  void begin_count(std::int64_t now) {
    counting_ = true;
    began_ = now;
    totals_ = UdpTotals{};
    sent_ = 0;
    relay_cpu_ = cpu_seconds(options_.pids);
    tool_cpu_ = own_cpu_seconds() + cpu_seconds(options_.tools);
  }
  int give_up() const {
    std::size_t silent = 0;
    for (const Client& client : clients_) silent += client.in.started ? 0U : 1U;
    std::fprintf(stderr, "%zu sessions got nothing\n", silent);
    return 1;
  }
  int report() const {
    const double seconds = static_cast<double>(now_ns() - began_) / 1e9;
    const double cpu = cpu_seconds(options_.pids) - relay_cpu_;
    const auto both = static_cast<double>(totals_.packets + sent_);
    std::printf(
        "{\"sessions\":%zu,\"seconds\":%.3f,\"down\":%s,\"sent\":%llu,\"foreign\":%llu,"
        "\"refused\":%llu,\"relay_cpu\":%.4f,\"us_per_datagram\":%.4f,\"tool_cpu\":%.4f}\n",
        clients_.size(), seconds, totals_.json().c_str(), static_cast<unsigned long long>(sent_),
        static_cast<unsigned long long>(foreign_),
        static_cast<unsigned long long>(sender_.refused()), cpu, both > 0 ? cpu * 1e6 / both : 0.0,
        own_cpu_seconds() + cpu_seconds(options_.tools) - tool_cpu_);
    return 0;
  }

  const Options& options_;
  int epoll_;
  UdpBatch batch_;
  Sender sender_;
  UdpTotals totals_;
  std::vector<Client> clients_;
  std::uint64_t transactions_ = 0, sent_ = 0, foreign_ = 0;
  std::int64_t began_ = 0;
  double relay_cpu_ = 0, tool_cpu_ = 0;
  bool counting_ = false;
};

bool parse_arguments(int argc, char** argv, Options& out) {
  const OptionTable table{
      {"--listen", &out.address},    {"--target", &out.address},          {"--pids", &out.pids},
      {"--tools", &out.tools},       {"--credentials", &out.credentials}, {"--fps", &out.fps},
      {"--seconds", &out.seconds},   {"--warmup", &out.warmup},           {"--limit", &out.limit},
      {"--sessions", &out.sessions}, {"--packets", &out.packets},         {"--phases", &out.phases},
      {"--size", &out.size},         {"--segmented", &out.segmented}};
  constexpr int kSmallest = kHeaderEnd, kLargest = UdpBatch::kPacketMax;
  return parse_options(argc, argv, out.mode, table) && out.size >= kSmallest &&
         out.size <= kLargest && out.packets >= 0 && out.sessions > 0 && out.phases > 0 &&
         out.fps > 0 && parse_listen(out.address).has_value();
}

}  // namespace
}  // namespace weir::load

int main(int argc, char** argv) {
  weir::load::Options options;
  if (!weir::load::parse_arguments(argc, argv, options)) {
    std::fprintf(stderr, "usage: see the head of t/90bench/udp_load.cc\n");
    return 2;
  }
  weir::load::prepare_process();
  if (options.mode == "origin") return weir::load::Origin(options).run();
  if (options.mode == "client") return weir::load::Clients(options).run();
  return 2;
}
