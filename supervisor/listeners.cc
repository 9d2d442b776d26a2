#include "supervisor/listeners.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "supervisor/udp_sockets.h"

namespace weir {
namespace {

constexpr int kBacklog = 65535;  // the kernel takes what net.core.somaxconn allows

bool set_flag(int fd, int level, int name, bool value = true) {
  const int number = value ? 1 : 0;
  return ::setsockopt(fd, level, name, &number, sizeof number) == 0;
}

// SO_REUSEADDR is for TCP alone: with UDP it lets two sockets have one port.
Result<UniqueFd> bind_socket(const Endpoint& address, Transport transport, bool share) {
  const bool tcp = transport == Transport::kTcp;
  sockaddr_storage storage{};
  const socklen_t length = to_sockaddr(address, storage);
  const std::string name =
      "cannot listen on " + to_string(address) + (tcp ? std::string() : std::string(" (udp)"));
  const int type = (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
  UniqueFd fd(::socket(storage.ss_family, type, 0));
  if (!fd) return fail_errno(name, errno);
  if ((tcp && !set_flag(fd.get(), SOL_SOCKET, SO_REUSEADDR)) ||
      (share && !set_flag(fd.get(), SOL_SOCKET, SO_REUSEPORT)) ||
      (address.family == Family::kIpv6 &&
       !set_flag(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, !address.takes(Family::kIpv4)))) {
    return fail_errno(name, errno);
  }
  // The one C interface for all families; sockaddr_storage is made for this cast.
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), length) != 0) {
    return fail_errno(name, errno);
  }
  return fd;
}

}  // namespace

Result<SharedListenSocket> open_listener(ipc::WorkerKind kind, const Endpoint& address,
                                         Transport transport) {
  auto fd = bind_socket(address, transport, true);
  if (!fd) return tl::unexpected(fd.error());
  if (transport == Transport::kUdp) {
    if (auto prepared = prepare_slot_socket(fd->get(), address); !prepared) {
      return tl::unexpected(prepared.error());
    }
  } else if (::listen(fd->get(), kBacklog) != 0) {
    return fail_errno("cannot listen on " + to_string(address), errno);
  }
  auto socket = std::make_shared<ListenSocket>();
  socket->kind = kind;
  socket->transport = transport;
  socket->address = address;
  socket->fd = std::move(*fd);
  return socket;
}

Result<void> check_free(const Endpoint& address, Transport transport) {
  if (address.port == 0) return {};
  auto probe = bind_socket(address, transport, false);
  if (!probe) return tl::unexpected(probe.error());
  return {};
}

Result<ListenSockets> plan_listeners(const ListenSockets& present, ipc::WorkerKind kind,
                                     const Endpoint& address, unsigned slots, Transport transport) {
  ListenSockets plan;
  for (const SharedListenSocket& socket : present) {
    if (socket->kind == kind && socket->transport == transport && socket->address == address) {
      plan.push_back(socket);
    }
  }
  while (plan.size() < slots) {
    auto socket = open_listener(kind, address, transport);
    if (!socket) return tl::unexpected(socket.error());
    plan.push_back(std::move(*socket));
  }
  return plan;
}

ListenSockets share_of_slot(const ListenSockets& sockets, unsigned slot, unsigned slots) {
  ListenSockets share;
  for (std::size_t i = slot; i < sockets.size(); i += slots) share.push_back(sockets[i]);
  return share;
}

}  // namespace weir
