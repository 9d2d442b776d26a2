#include "supervisor/upgrade.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/base/log.h"
#include "common/net/tcp.h"

namespace weir {
namespace {

constexpr const char* kListenVariable = "WEIR_INTERNAL_LISTEN";
constexpr const char* kReadyVariable = "WEIR_INTERNAL_READY";
constexpr const char* kHandoverVariable = "WEIR_INTERNAL_HANDOVER";
constexpr const char* kLockVariable = "WEIR_INTERNAL_SESSION_LOCK";
constexpr const char* kStateVariable = "WEIR_INTERNAL_STATE";

std::string describe(const ListenSockets& sockets) {
  std::string text;
  for (const SharedListenSocket& socket : sockets) {
    text += std::to_string(socket->fd.get()) + ":" +
            std::to_string(static_cast<unsigned>(socket->kind)) + ";";
  }
  return text;
}

void keep_over_exec(int fd) {
  ::fcntl(fd, F_SETFD, 0);
}

template <typename Integer>
bool take_number(std::string_view& text, char end, Integer& out) {
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || at == text.data() + text.size() || *at != end) return false;
  text.remove_prefix(static_cast<std::size_t>(at - text.data()) + 1);
  return true;
}

// Both come from the socket itself.
bool is_listener(int fd, Transport& transport) {
  int type = 0;
  int listening = 0;
  socklen_t length = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0) return false;
  transport = type == SOCK_DGRAM ? Transport::kUdp : Transport::kTcp;
  if (type == SOCK_DGRAM) return true;
  length = sizeof listening;
  return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0;
}

// The address comes from the socket itself, too; what is no listen socket is not adopted.
SharedListenSocket adopt(int fd, unsigned kind) {
  auto socket = std::make_shared<ListenSocket>();
  const Endpoint address = net::local_address(fd);
  if (kind >= ipc::kWorkerKinds || !is_listener(fd, socket->transport) || address.empty()) {
    return nullptr;
  }
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  socket->kind = static_cast<ipc::WorkerKind>(kind);
  socket->address = address;
  socket->fd.reset(fd);
  return socket;
}

// The descriptor that a variable names, which is then removed; invalid when it names none.
UniqueFd take_descriptor(const char* variable) {
  const char* value = std::getenv(variable);
  int fd = -1;
  if (value != nullptr) {
    const std::string_view text = value;
    std::from_chars(text.data(), text.data() + text.size(), fd);
    ::unsetenv(variable);
  }
  if (fd <= STDERR_FILENO || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return {};
  return UniqueFd(fd);
}

}  // namespace

Result<void> Upgrade::start(char** argv, const ListenSockets& sockets, const Legacy& legacy) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno("cannot make a pipe", errno);
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail_errno("cannot make a channel", errno);
  }
  UniqueFd mine(ends[0]);
  UniqueFd theirs(ends[1]);
  const std::string handover = std::to_string(theirs.get());
  const std::string lock = std::to_string(legacy.session_lock);
  const std::string state = std::to_string(legacy.state);
  const std::string listen = describe(sockets);
  const std::string ready = std::to_string(write_end.get());
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("cannot fork", errno);
  if (child == 0) {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const SharedListenSocket& socket : sockets) keep_over_exec(socket->fd.get());
    keep_over_exec(write_end.get());
    keep_over_exec(theirs.get());
    if (legacy.session_lock >= 0) keep_over_exec(legacy.session_lock);
    keep_over_exec(legacy.state);
    ::setenv(kListenVariable, listen.c_str(), 1);
    ::setenv(kReadyVariable, ready.c_str(), 1);
    ::setenv(kHandoverVariable, handover.c_str(), 1);
    ::setenv(kLockVariable, lock.c_str(), 1);
    ::setenv(kStateVariable, state.c_str(), 1);
    // systemd's watchdog goes over to the new master; its variable names the one that it started.
    if (std::getenv("WATCHDOG_PID") != nullptr) {
      ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
    }
    ::execvp(argv[0], argv);
    ::_exit(1);
  }
  child_ = child;
  ready_ = std::move(read_end);
  handover_ = std::move(mine);
  return {};
}

Upgrade::News Upgrade::read_news() {
  char byte = 0;
  const ssize_t n = ::read(ready_.get(), &byte, 1);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return News::kNone;
  ready_.reset();
  child_ = 0;
  if (n != 1) handover_.reset();
  return n == 1 ? News::kNewOneIsUp : News::kFailed;
}

Inherited take_inherited() {
  Inherited inherited;
  const char* ready = std::getenv(kReadyVariable);
  const char* listen = std::getenv(kListenVariable);
  if (ready == nullptr || listen == nullptr) return inherited;
  std::string_view text = listen;
  int fd = -1;
  unsigned kind = 0;
  while (take_number(text, ':', fd) && take_number(text, ';', kind)) {
    if (auto socket = adopt(fd, kind)) inherited.sockets.push_back(std::move(socket));
  }
  ::unsetenv(kListenVariable);
  inherited.ready = take_descriptor(kReadyVariable);
  inherited.handover = take_descriptor(kHandoverVariable);
  inherited.session_lock = take_descriptor(kLockVariable);
  inherited.state = take_descriptor(kStateVariable);
  return inherited;
}

}  // namespace weir
