#include "supervisor/upgrade.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
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
constexpr const char* kControlVariable = "WEIR_INTERNAL_CONTROL";
constexpr const char* kPredecessorVariable = "WEIR_INTERNAL_PREDECESSOR";
constexpr std::size_t kLastWordsBytes = 4096;

std::string describe(const ListenSockets& sockets) {
  std::string text;
  for (const SharedListenSocket& socket : sockets) {
    text += std::to_string(socket->fd.get()) + ":" +
            std::to_string(static_cast<unsigned>(socket->kind)) + ";";
  }
  return text;
}

void keep_over_exec(int fd) {
  if (fd >= 0) ::fcntl(fd, F_SETFD, 0);
}

void set_number(const char* variable, int number) {
  ::setenv(variable, std::to_string(number).c_str(), 1);
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

struct Ends {
  UniqueFd mine;
  UniqueFd theirs;
};

// What the new program finds: descriptors that stay open over the exec, and their names.
void leave_legacy(const ListenSockets& sockets, const Upgrade::Legacy& legacy, const Ends& ready,
                  const Ends& handover) {
  ::setenv(kListenVariable, describe(sockets).c_str(), 1);
  for (const SharedListenSocket& socket : sockets) keep_over_exec(socket->fd.get());
  const std::pair<const char*, int> rest[] = {{kReadyVariable, ready.theirs.get()},
                                              {kHandoverVariable, handover.theirs.get()},
                                              {kLockVariable, legacy.session_lock},
                                              {kStateVariable, legacy.state},
                                              {kControlVariable, legacy.control}};
  for (const auto& [variable, fd] : rest) {
    keep_over_exec(fd);
    set_number(variable, fd);
  }
  // systemd's watchdog goes over to the new master; its variable names the one that it started.
  if (std::getenv("WATCHDOG_PID") != nullptr) set_number("WATCHDOG_PID", ::getpid());
}

// Whoever waits for them may have gone.
void write_words(int fd, std::string_view words) {
  [[maybe_unused]] const ssize_t written = ::write(fd, words.data(), words.size());
}

[[noreturn]] void become(char** argv, int words) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execvp(argv[0], argv);
  write_words(words, std::string("cannot run ") + argv[0] + ": " + std::strerror(errno));
  ::_exit(1);
}

// Forks twice, so that the new program is nobody's child here: when this master has left, its end
// is seen by whoever adopted it. Returns its pid.
template <typename Run>
Result<pid_t> fork_orphan(Run run) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("cannot make a pipe", errno);
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t between = ::fork();
  if (between < 0) return fail_errno("cannot fork", errno);
  if (between == 0) {
    const pid_t orphan = ::fork();
    if (orphan == 0) run();
    [[maybe_unused]] const ssize_t written = ::write(write_end.get(), &orphan, sizeof orphan);
    ::_exit(0);
  }
  write_end.reset();
  pid_t orphan = 0;
  const ssize_t n = ::read(read_end.get(), &orphan, sizeof orphan);
  ::waitpid(between, nullptr, 0);
  if (n != sizeof orphan || orphan <= 0) return fail("cannot fork");
  return orphan;
}

}  // namespace

// The address comes from the socket itself, too; what is no listen socket is not adopted.
SharedListenSocket adopt_listener(UniqueFd fd, unsigned kind) {
  auto socket = std::make_shared<ListenSocket>();
  const Endpoint address = net::local_address(fd.get());
  if (kind >= ipc::kWorkerKinds || !is_listener(fd.get(), socket->transport) || address.empty()) {
    return nullptr;
  }
  ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  socket->kind = static_cast<ipc::WorkerKind>(kind);
  socket->address = address;
  socket->fd = std::move(fd);
  return socket;
}

Result<void> Upgrade::start(char** argv, const ListenSockets& sockets, const Legacy& legacy) {
  // The first process of a pid namespace takes all others with it when it leaves.
  if (::getpid() == 1) {
    return fail("this is process 1 of a container; replace the container instead");
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno("cannot make a pipe", errno);
  Ends ready{UniqueFd(ends[0]), UniqueFd(ends[1])};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail_errno("cannot make a channel", errno);
  }
  Ends handover{UniqueFd(ends[0]), UniqueFd(ends[1])};
  const pid_t self = ::getpid();
  const auto successor = fork_orphan([&]() {
    set_number(kPredecessorVariable, self);
    leave_legacy(sockets, legacy, ready, handover);
    become(argv, ready.theirs.get());
  });
  if (!successor) return tl::unexpected(successor.error());
  successor_ = *successor;
  last_words_.clear();
  ready_ = std::move(ready.mine);
  handover_ = std::move(handover.mine);
  return {};
}

Upgrade::News Upgrade::read_news() {
  for (;;) {
    char bytes[512];
    const ssize_t n = ::read(ready_.get(), bytes, sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return News::kNone;
    if (n > 0 && last_words_.empty() && bytes[0] == kServiceUp) {
      ready_.reset();
      return News::kNewOneIsUp;
    }
    if (n <= 0) break;
    const std::size_t room = kLastWordsBytes - last_words_.size();
    last_words_.append(bytes, std::min(static_cast<std::size_t>(n), room));
  }
  ready_.reset();
  handover_.reset();
  successor_ = 0;
  return News::kFailed;
}

// Its end of the pipe is open, so the pid is still its own.
void Upgrade::give_up() {
  if (running() && successor_ > 0) ::kill(successor_, SIGKILL);
}

void leave_last_words(const UniqueFd& ready, std::string_view why) {
  if (ready) write_words(ready.get(), why);
}

bool Predecessor::lives() const {
  if (!pidfd_) return false;
  pollfd entry{pidfd_.get(), POLLIN, 0};
  return ::poll(&entry, 1, 0) == 0;
}

void Predecessor::signal(int number) const {
  if (pidfd_) ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
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
    if (fd <= STDERR_FILENO) continue;
    if (auto socket = adopt_listener(UniqueFd(fd), kind)) {
      inherited.sockets.push_back(std::move(socket));
    }
  }
  ::unsetenv(kListenVariable);
  inherited.ready = take_descriptor(kReadyVariable);
  inherited.handover = take_descriptor(kHandoverVariable);
  inherited.session_lock = take_descriptor(kLockVariable);
  inherited.state = take_descriptor(kStateVariable);
  inherited.control = take_descriptor(kControlVariable);
  if (const char* pid = std::getenv(kPredecessorVariable)) {
    const std::string_view number = pid;
    pid_t predecessor = 0;
    std::from_chars(number.data(), number.data() + number.size(), predecessor);
    // A pidfd is close-on-exec from the start. (Linux 5.3; glibc 2.36 has a name for it.)
    if (predecessor > 1) {
      inherited.predecessor.reset(static_cast<int>(::syscall(SYS_pidfd_open, predecessor, 0)));
    }
    ::unsetenv(kPredecessorVariable);
  }
  return inherited;
}

}  // namespace weir
