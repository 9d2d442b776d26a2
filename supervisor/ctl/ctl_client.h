// One request over the control socket, and its answer; blocking, as a command may be.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "supervisor/ctl/ctl_json.h"

namespace weir::ctl {

struct Answer {
  unsigned status = 0;
  std::string body;
  JsonPtr json;  // of the body; null when it is none

  bool ok() const { return status >= 200 && status < 300; }
  // What the instance says went wrong.
  std::string error() const;
};

// False: not within the time (CLOCK_MONOTONIC).
bool wait_for(int fd, short events, std::uint64_t until_ms);

class Client {
 public:
  explicit Client(std::string socket) : socket_(std::move(socket)) {}

  // An error means that nobody answers there, or not in time (ETIMEDOUT).
  Result<Answer> ask(std::string_view method, std::string_view target,
                     std::uint64_t timeout_ms = kUsualMs) const;
  const std::string& socket() const { return socket_; }

 private:
  static constexpr std::uint64_t kUsualMs = 15000;
  std::string socket_;
};

}  // namespace weir::ctl
