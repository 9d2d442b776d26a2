// Messages to systemd's NOTIFY_SOCKET, when it asks for them; nothing otherwise.
// Protocol: sd_notify(3), written without libsystemd: one datagram of NAME=value lines.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

class Notifier {
 public:
  // Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment.
  Notifier();
  void ready(std::string_view status) const;
  void reloading() const;
  void stopping() const;
  void watchdog() const;
  // How often watchdog() is due, in ms; 0: never.
  std::uint64_t watchdog_interval_ms() const { return watchdog_ms_; }

 private:
  void send(const std::string& text) const;
  std::string socket_;
  std::uint64_t watchdog_ms_ = 0;
};

}  // namespace weir
