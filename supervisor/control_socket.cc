#include "supervisor/control_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/log.h"
#include "supervisor/runtime_path.h"

namespace weir {
namespace {

constexpr int kBacklog = 64;
constexpr mode_t kGroupToo = 0117;  // umask for 0660
constexpr mode_t kOwnerOnly = 0177;

bool fill_address(const std::string& path, sockaddr_un& address) {
  if (path.size() >= sizeof address.sun_path) return false;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return true;
}

// sockaddr_un passed as the C interface wants it.
const sockaddr* as_sockaddr(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

// One that a master left behind refuses; anything that is no socket is not ours to remove.
Result<void> make_way(const std::string& path, const sockaddr_un& address) {
  struct stat there {};
  if (::lstat(path.c_str(), &there) != 0) return {};
  if (!S_ISSOCK(there.st_mode)) return fail(path + " is there and is no socket");
  UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return fail_errno("cannot make a socket", errno);
  const bool alive =
      ::connect(probe.get(), as_sockaddr(address), sizeof address) == 0 || errno == EAGAIN;
  if (alive) return fail("another Weir answers at " + path);
  if (::unlink(path.c_str()) != 0) return fail_errno("cannot remove " + path, errno);
  return {};
}

// The workers' group may use it when somebody made one for Weir; that of "nobody" belongs to
// others.
Result<UniqueFd> listen_at(const std::string& path, const WorkerUser& workers) {
  sockaddr_un address{};
  if (!fill_address(path, address)) return fail(path + " is too long for a socket");
  make_runtime_folder(path);
  if (auto free = make_way(path, address); !free) return tl::unexpected(free.error());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("cannot make a socket", errno);
  const bool share = workers.drop && workers.own_group;
  const mode_t before = ::umask(share ? kGroupToo : kOwnerOnly);
  const int bound = ::bind(fd.get(), as_sockaddr(address), sizeof address);
  const int err = errno;
  ::umask(before);
  if (bound != 0) return fail_errno("cannot listen at " + path, err);
  if (share && ::chown(path.c_str(), static_cast<uid_t>(-1), workers.gid) != 0) {
    return fail_errno("cannot give " + path + " to the workers' group", errno);
  }
  if (::listen(fd.get(), kBacklog) != 0) return fail_errno("cannot listen at " + path, errno);
  return fd;
}

}  // namespace

void ControlSocket::open(const Config& config, UniqueFd inherited, const WorkerUser& workers) {
  path_ = runtime_path(config.control.socket, "ctl.sock");
  if (inherited) {
    fd_ = std::move(inherited);
    return;
  }
  if (path_.empty()) {
    if (config.control.socket != "off") {
      LogLine(LogLevel::kInfo, "no control socket: weirctl cannot reach this instance")
          .field("advice", "without root, control.socket must name a path");
    }
    return;
  }
  auto fd = listen_at(path_, workers);
  if (!fd) {
    LogLine(LogLevel::kWarn,
            "going on without a control socket: weirctl cannot reach this instance")
        .field("error", fd.error().text);
    return;
  }
  fd_ = std::move(*fd);
}

void ControlSocket::remove() {
  if (fd_ && !path_.empty()) ::unlink(path_.c_str());
  fd_.reset();
}

}  // namespace weir
