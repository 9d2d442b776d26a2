#include "supervisor/listeners.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

namespace weir {
namespace {

constexpr int kBacklog = 65535;  // the kernel takes what net.core.somaxconn allows

bool set_flag(int fd, int level, int name) {
  const int on = 1;
  return ::setsockopt(fd, level, name, &on, sizeof on) == 0;
}

Result<UniqueFd> bind_socket(const Endpoint& address, bool share) {
  sockaddr_storage storage{};
  const socklen_t length = to_sockaddr(address, storage);
  const std::string name = "cannot listen on " + to_string(address);
  UniqueFd fd(::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(name, errno);
  if (!set_flag(fd.get(), SOL_SOCKET, SO_REUSEADDR) ||
      (share && !set_flag(fd.get(), SOL_SOCKET, SO_REUSEPORT)) ||
      (address.family == Family::kIpv6 && !set_flag(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY))) {
    return fail_errno(name, errno);
  }
  // The one C interface for all families; sockaddr_storage is made for this cast.
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), length) != 0) {
    return fail_errno(name, errno);
  }
  return fd;
}

}  // namespace

Result<SharedListenSocket> open_listener(ipc::WorkerKind kind, const Endpoint& address) {
  auto fd = bind_socket(address, true);
  if (!fd) return tl::unexpected(fd.error());
  if (::listen(fd->get(), kBacklog) != 0) {
    return fail_errno("cannot listen on " + to_string(address), errno);
  }
  auto socket = std::make_shared<ListenSocket>();
  socket->kind = kind;
  socket->address = address;
  socket->fd = std::move(*fd);
  return socket;
}

Result<void> check_free(const Endpoint& address) {
  if (address.port == 0) return {};
  auto probe = bind_socket(address, false);
  if (!probe) return tl::unexpected(probe.error());
  return {};
}

Result<ListenSockets> plan_listeners(const ListenSockets& present, ipc::WorkerKind kind,
                                     const Endpoint& address, unsigned slots) {
  ListenSockets plan;
  for (const SharedListenSocket& socket : present) {
    if (socket->kind == kind && socket->address == address) plan.push_back(socket);
  }
  while (plan.size() < slots) {
    auto socket = open_listener(kind, address);
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
