// Messages to systemd's NOTIFY_SOCKET, when it asks for them; nothing otherwise.
// Protocol: sd_notify(3), written without libsystemd: one datagram of NAME=value lines.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

class Notifier {
 public:
  // Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment.
  Notifier();
  bool has_manager() const { return !socket_.empty(); }
  // Of this process, which is the main one from now on.
  void ready(std::string_view status);
  // The same of another process of this service, which runs already (an upgrade whose old program
  // was killed before systemd knew of the new one).
  void is_main(pid_t pid) const;
  void status(std::string_view text);  // is sent when it differs from the last one
  void reloading() const;
  // It may take so long.
  void stopping(std::uint64_t at_most_ms) const;
  void watchdog() const;
  // How often watchdog() is due, in ms; 0: never.
  std::uint64_t watchdog_interval_ms() const { return watchdog_ms_; }
  // The service goes on with another process: nothing that is said here is about it any more.
  void retire();
  // A descriptor that the manager keeps while this process does not live
  // (sd_pid_notify_with_fds(3)).
  void store(std::string_view name, int fd) const;
  void forget(std::string_view name) const;

 private:
  void send(const std::string& text, int fd = -1) const;
  std::string socket_;
  std::string status_;
  std::uint64_t watchdog_ms_ = 0;
};

// Whether the process is in our control group, and that is a service's.
bool is_of_our_service(pid_t pid);

}  // namespace weir
