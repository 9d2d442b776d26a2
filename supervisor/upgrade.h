// Upgrade: SIGUSR2 replaces the program without closing a listen socket (docs/RELOAD.md). The old
// master runs the new program, not as its own child but as one of whoever adopts orphans: of
// systemd, which can then see its end. It leaves it, in the environment, its listen sockets, one
// end of a pipe, one of a channel, the lock of the session file, the state segment, and its own
// pid. The new one adopts the sockets, reads origins and routes from the segment while the old one
// lives, and writes kServiceUp when it is up; then the old one sends it the sessions of WebRTC
// and SRT over the channel, drains and leaves. If the pipe closes before that the old one goes on;
// what was written instead says why.
// Owner: the master.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "supervisor/listeners.h"

namespace weir {

// What a new master writes to MasterOptions::ready when it is up; anything else are its last words.
inline constexpr char kServiceUp = '1';

class Upgrade {
 public:
  enum class News : std::uint8_t { kNone, kNewOneIsUp, kFailed };

  // What stays the caller's and is left to the new program.
  struct Legacy {
    int session_lock = -1;  // -1: none
    int state = -1;         // the state segment
    int control = -1;       // the control socket; -1: none
  };
  // Starts the new program. `sockets`: all that the current generation holds.
  Result<void> start(char** argv, const ListenSockets& sockets, const Legacy& legacy);
  bool running() const { return static_cast<bool>(ready_); }
  pid_t successor() const { return successor_; }
  int fd() const { return ready_.get(); }  // readable when there is news
  News read_news();
  // Of the last one that failed: what it said itself, one line a reason; may be empty.
  const std::string& last_words() const { return last_words_; }
  // Ends a new program that does not come up: kFailed follows.
  void give_up();
  // Where the new master waits for sessions.
  UniqueFd take_handover() { return std::move(handover_); }

 private:
  pid_t successor_ = 0;
  UniqueFd ready_;
  UniqueFd handover_;
  std::string last_words_;
};

// In the new master: the old one, which goes on until its last session has ended. Ends with it are
// seen by its pidfd.
class Predecessor {
 public:
  Predecessor() = default;
  explicit Predecessor(UniqueFd pidfd) : pidfd_(std::move(pidfd)) {}
  bool lives() const;
  bool has_ended() const { return pidfd_ && !lives(); }
  void signal(int number) const;

 private:
  UniqueFd pidfd_;
};

// In the new master: what the old one left. The variables are removed from the environment.
struct Inherited {
  ListenSockets sockets;
  UniqueFd ready;         // invalid: this is no upgrade
  UniqueFd handover;      // sessions come here
  UniqueFd session_lock;  // of the session file; invalid: the old one had none
  UniqueFd state;         // its state segment
  UniqueFd control;       // its control socket; invalid: it had none
  UniqueFd predecessor;   // a pidfd of the old master; invalid: this is no upgrade
};
Inherited take_inherited();
// To the old master, if there is one that waits: why there will be no new one.
void leave_last_words(const UniqueFd& ready, std::string_view why);

// Of a descriptor that came from another program: a listen socket with its kind. Null: it is none.
SharedListenSocket adopt_listener(UniqueFd fd, unsigned kind);

}  // namespace weir
