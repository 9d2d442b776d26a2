// Upgrade: SIGUSR2 replaces the program without closing a listen socket (docs/RELOAD.md). The old
// master runs the new program as its child and leaves it, in the environment, its listen sockets,
// one end of a pipe, one of a channel, the lock of the session file, and the state segment. The new
// one adopts the sockets, reads origins and routes from the segment while the old one lives, and
// writes a byte when it is up; then the old one sends it the sessions of WebRTC and SRT over the
// channel, drains and leaves. If the pipe closes without a byte the old one goes on.
// Owner: the master.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "supervisor/listeners.h"

namespace weir {

class Upgrade {
 public:
  enum class News : std::uint8_t { kNone, kNewOneIsUp, kFailed };

  // What stays the caller's and is left to the new program.
  struct Legacy {
    int session_lock = -1;  // -1: none
    int state = -1;         // the state segment
  };
  // Starts the new program. `sockets`: all that the current generation holds.
  Result<void> start(char** argv, const ListenSockets& sockets, const Legacy& legacy);
  bool running() const { return child_ > 0; }
  pid_t child() const { return child_; }
  int fd() const { return ready_.get(); }  // readable when there is news
  News read_news();
  // Where the new master waits for sessions.
  UniqueFd take_handover() { return std::move(handover_); }

 private:
  pid_t child_ = 0;
  UniqueFd ready_;
  UniqueFd handover_;
};

// In the new master: what the old one left. The variables are removed from the environment.
struct Inherited {
  ListenSockets sockets;
  UniqueFd ready;         // invalid: this is no upgrade
  UniqueFd handover;      // sessions come here
  UniqueFd session_lock;  // of the session file; invalid: the old one had none
  UniqueFd state;         // its state segment
};
Inherited take_inherited();

}  // namespace weir
