// Upgrade: SIGUSR2 replaces the program without closing a listen socket (docs/RELOAD.md). The old
// master runs the new program as its child and leaves it, in the environment, its listen sockets
// and one end of a pipe. The new one adopts the sockets and writes a byte when it is up; then the
// old one drains and leaves. If the pipe closes without a byte the old one goes on as before.
// Owner: the master.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "supervisor/listeners.h"

namespace weir {

class Upgrade {
 public:
  enum class News : std::uint8_t { kNone, kNewOneIsUp, kFailed };

  // Starts the new program. `sockets`: all that the current generation holds.
  Result<void> start(char** argv, const ListenSockets& sockets);
  bool running() const { return child_ > 0; }
  pid_t child() const { return child_; }
  int fd() const { return ready_.get(); }  // readable when there is news
  News read_news();

 private:
  pid_t child_ = 0;
  UniqueFd ready_;
};

// In the new master: what the old one left. The variables are removed from the environment.
struct Inherited {
  ListenSockets sockets;
  UniqueFd ready;  // invalid: this is no upgrade
};
Inherited take_inherited();

}  // namespace weir
