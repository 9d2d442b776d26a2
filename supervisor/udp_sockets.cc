#include "supervisor/udp_sockets.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "common/base/log.h"
#include "common/net/tcp.h"

namespace weir {
namespace {

// A worker may be away for as long as a respawn takes; with the default of the kernel nearly all of
// that time is lost (DESIGN, section 5).
constexpr int kQueueBytes = 4 << 20;

// Descriptors that sessions leave to the master: without one it can neither replace a worker nor
// reload. The kernel gives the lowest free number, so those above the border stay free.
constexpr rlim_t kReservedDescriptors = 512;

bool is_reserved(int fd) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  const rlim_t reserved = std::min(kReservedDescriptors, limit.rlim_cur / 4);
  return static_cast<rlim_t>(fd) >= limit.rlim_cur - reserved;
}

bool set_int(int fd, int level, int name, int value) {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

void enlarge_queue(int fd, int forced_name, int name) {
  if (!set_int(fd, SOL_SOCKET, forced_name, kQueueBytes)) {
    static_cast<void>(set_int(fd, SOL_SOCKET, name, kQueueBytes));
  }
}

void enlarge_queues(int fd) {
  enlarge_queue(fd, SO_RCVBUFFORCE, SO_RCVBUF);
  enlarge_queue(fd, SO_SNDBUFFORCE, SO_SNDBUF);
}

void warn_of_small_queue(int fd, const Endpoint& address) {
  int bytes = 0;
  socklen_t length = sizeof bytes;
  // The kernel tells twice what it was asked for.
  if (::getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &length) != 0 || bytes / 2 >= kQueueBytes) {
    return;
  }
  static bool told = false;
  if (told) return;
  told = true;
  LogLine(LogLevel::kWarn, "UDP queues are small, bursts and restarts of workers will lose packets")
      .field("address", to_string(address))
      .field("bytes", bytes / 2)
      .field("wanted", kQueueBytes)
      .field("remedy", "start as root, or raise net.core.rmem_max and net.core.wmem_max");
}

}  // namespace

Result<void> prepare_slot_socket(int fd, const Endpoint& address) {
  const bool v6 = address.family == Family::kIpv6;
  if (!(v6 ? set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
           : set_int(fd, IPPROTO_IP, IP_PKTINFO, 1))) {
    return fail_errno("cannot have the destination address told on " + to_string(address), errno);
  }
  static_cast<void>(set_int(fd, IPPROTO_UDP, UDP_GRO, 1));  // Linux 5.0
  enlarge_queues(fd);
  warn_of_small_queue(fd, address);
  return {};
}

Result<Upstream> open_upstream(const Endpoint& origin, const Endpoint& local) {
  const std::string name = "cannot reach " + to_string(origin);
  sockaddr_storage to{};
  const socklen_t to_length = to_sockaddr(origin, to);
  if (to_length == 0) return fail(name + ": no address");
  Upstream upstream;
  upstream.fd.reset(::socket(to.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!upstream.fd) return fail_errno(name, errno);
  const int fd = upstream.fd.get();
  if (is_reserved(fd)) return fail_errno(name, EMFILE);
  // No SO_REUSEADDR and no SO_REUSEPORT: with either, two sessions could get one port. The casts
  // are what the one C interface for all address families asks for.
  if (!local.empty()) {
    sockaddr_storage from{};
    const socklen_t from_length = to_sockaddr(local, from);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&from), from_length) != 0) {
      return fail_errno("cannot bind " + to_string(local) + " again", errno);
    }
  }
  auto connected = redirect_upstream(fd, origin);
  if (!connected) return tl::unexpected(connected.error());
  upstream.local = *connected;
  static_cast<void>(set_int(fd, IPPROTO_UDP, UDP_GRO, 1));
  enlarge_queues(fd);
  return upstream;
}

Result<Endpoint> redirect_upstream(int fd, const Endpoint& origin) {
  const std::string name = "cannot reach " + to_string(origin);
  sockaddr_storage to{};
  const socklen_t length = to_sockaddr(origin, to);
  if (length == 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&to), length) != 0) {
    return fail_errno(name, length == 0 ? EADDRNOTAVAIL : errno);
  }
  const Endpoint own = net::local_address(fd);
  if (own.empty()) return fail(name + ": its own address cannot be told");
  return own;
}

}  // namespace weir
