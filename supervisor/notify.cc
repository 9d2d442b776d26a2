#include "supervisor/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "common/base/clock.h"
#include "common/base/fd.h"

namespace weir {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::uint64_t number(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string control_group_of(const std::string& process) {
  std::ifstream file("/proc/" + process + "/cgroup");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

bool is_of_our_service(pid_t pid) {
  const std::string ours = control_group_of("self");
  return ours.find(".service") != std::string::npos &&
         ours == control_group_of(std::to_string(pid));
}

Notifier::Notifier() : socket_(variable("NOTIFY_SOCKET")) {
  const std::uint64_t interval_us = number(variable("WATCHDOG_USEC"));
  const std::string pid = variable("WATCHDOG_PID");
  const bool ours = pid.empty() || number(pid) == static_cast<std::uint64_t>(::getpid());
  if (interval_us != 0 && ours) watchdog_ms_ = interval_us / 2000 + 1;
}

void Notifier::send(const std::string& text, int fd_to_pass) const {
  sockaddr_un address{};
  if (socket_.empty() || socket_.size() >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_[0] == '@') address.sun_path[0] = '\0';
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  iovec bytes{const_cast<char*>(text.data()), text.size()};  // the C interface; it is only read
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = length;
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (fd_to_pass >= 0) {
    message.msg_control = space;
    message.msg_controllen = sizeof space;
    cmsghdr* const control = CMSG_FIRSTHDR(&message);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(control), &fd_to_pass, sizeof(int));
  }
  // A service manager that does not listen is no reason to stop.
  [[maybe_unused]] const ssize_t sent = ::sendmsg(fd.get(), &message, MSG_NOSIGNAL);
}

void Notifier::ready(std::string_view status) {
  status_ = status;
  send("READY=1\nMAINPID=" + std::to_string(::getpid()) + "\nSTATUS=" + status_);
}

void Notifier::is_main(pid_t pid) const {
  send("READY=1\nMAINPID=" + std::to_string(pid));
}

void Notifier::status(std::string_view text) {
  if (status_ == text) return;
  status_ = text;
  send("STATUS=" + status_);
}

void Notifier::retire() {
  socket_.clear();
  watchdog_ms_ = 0;
}

// FDPOLL=0: a UDP socket that has an error to report is no reason to throw it away.
void Notifier::store(std::string_view name, int fd) const {
  send("FDSTORE=1\nFDPOLL=0\nFDNAME=" + std::string(name), fd);
}

void Notifier::forget(std::string_view name) const {
  send("FDSTOREREMOVE=1\nFDNAME=" + std::string(name));
}

void Notifier::reloading() const {
  send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_us()));
}

void Notifier::stopping(std::uint64_t at_most_ms) const {
  send("STOPPING=1\nEXTEND_TIMEOUT_USEC=" + std::to_string(at_most_ms * 1000));
}

void Notifier::watchdog() const {
  send("WATCHDOG=1");
}

}  // namespace weir
