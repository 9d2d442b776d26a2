// SpliceRelay: moves bytes between pairs of TCP sockets inside the kernel, for every protocol whose
// streams need no parsing any more. Owner: a worker; one object serves all its sessions. A pair
// with TLS on either leg goes through one buffer of the process instead, and so does a direction
// that its owner watches; all else is the same.
//
// Each pair has two directions (client to origin, origin to client). A direction holds a pipe, or
// with TLS what is left of the buffer, only while its receiver is blocked; then its sender is not
// read, so memory is bounded by the pipe and TCP's own windows, and a slow viewer harms nobody
// else.
//
//   open --EOF of a sender, pipe empty--> receiver gets a FIN (with TLS: close_notify first, but
//             not after a sender that broke off without one), direction is done
//   both directions done, an error, a timeout, or end() --> both sockets closed, on_end() is called
//   once a socket that cannot be watched --> tried again by sweep(); then the session ends
//
// Invariants: epoll interest of a sender has EPOLLIN unless its direction is blocked or done; that
// of a receiver has EPOLLOUT only while its direction is blocked; a TLS sender also while its own
// reading waits for output (a key update).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/fd.h"
#include "common/base/log_budget.h"
#include "common/net/tls_stream.h"
#include "workers/core/pipe_pool.h"
#include "workers/core/poller.h"
#include "workers/core/second_read.h"

namespace weir {

enum class RelayEnd : std::uint8_t {
  kClientClosed,
  kOriginClosed,
  kIdle,       // no byte either way for idle_ms
  kStalled,    // bytes waited for a receiver for stall_ms
  kUnwatched,  // a socket that the kernel did not take into the event set, twice
  kLeft,       // Handlers::on_watched said so
};
std::string_view to_string(RelayEnd end);

struct RelaySettings {
  std::uint64_t delay_ms = 20;  // tick length; 0: at once
  std::uint64_t idle_ms = 300000;
  std::uint64_t stall_ms = 30000;
  std::uint64_t linger_ms = 5000;  // silence allowed once one side has ended
};

class SpliceRelay {
 public:
  struct Handlers {
    // The session `owner` has ended and its sockets are closed. Called from the event loop.
    std::function<void(std::uint64_t owner, RelayEnd why)> on_end;
    // Bytes that were just moved.
    std::function<void(std::uint64_t owner, std::uint64_t from_client, std::uint64_t to_client)>
        on_bytes;
    // Bytes of the watched leg, before they go on. False: the session ends; the client still gets
    // them, an origin does not.
    std::function<bool(std::uint64_t owner, ByteView bytes)> on_watched = {};
  };
  // One side of a session; implicit, since most have no TLS.
  struct Peer {
    Peer(UniqueFd socket, std::unique_ptr<net::TlsStream> stream = nullptr)
        : fd(std::move(socket)), tls(std::move(stream)) {}
    UniqueFd fd;
    std::unique_ptr<net::TlsStream> tls;
  };
  using Id = std::uint32_t;
  static constexpr Id kNone = 0xFFFFFFFF;
  enum class Watched : std::uint8_t { kClient, kOrigin, kNobody };

  SpliceRelay(event_base* base, const RelaySettings& settings, Handlers handlers);

  // Takes both sockets over (non-blocking, nothing unread in user space) and starts. What the
  // watched one sends is shown to on_watched(): meant for a direction of few bytes.
  Id start(Peer client, Peer origin, std::uint64_t owner, Watched watched = Watched::kNobody);
  // Closes a session at once, without on_end().
  void stop(Id id);
  // Ends those that are idle, stalled or linger. Call it about once a second.
  void sweep(std::uint64_t now_ms);
  std::size_t size() const { return active_; }

 private:
  struct Leg {
    UniqueFd fd;
    std::unique_ptr<net::TlsStream> tls;
    std::uint32_t interest = 0;  // EPOLL* bits asked for; 0: errors and hang-ups only
    bool registered = false;     // in the set
    bool lost = false;           // it should be, and the kernel refused: sweep() tries again
    bool eof = false;            // it has sent its FIN
    bool truncated = false;      // and, with TLS, no close_notify
    bool read_waits = false;     // TLS must send before it can read on
    bool done = false;           // the direction from it has ended: its peer got a FIN
  };
  struct Pair {
    std::array<Leg, 2> leg;                         // 0 client, 1 origin
    std::array<Pipe, 2> pipe;                       // [from]
    std::array<std::vector<std::uint8_t>, 2> held;  // [from], copied: the last in_pipe bytes wait
    std::array<std::uint32_t, 2> in_pipe = {};      // bytes in it
    std::array<bool, 2> copied = {};                // [from]: through user space
    std::array<SecondRead, 2> second;               // [from]
    Watched watched = Watched::kNobody;
    bool left = false;  // the watch has ended it
    std::uint32_t generation = 0;
    bool used = false;
    std::uint8_t first_eof = 0;  // the leg that ended first
    std::uint64_t owner = 0;
    std::uint64_t last_move_ms = 0;
    std::uint64_t eof_ms = 0;  // when the first leg ended, 0: none has
  };
  enum class Moved : std::uint8_t { kAll, kBlocked, kEnded };

  void on_ready(std::uint64_t token, std::uint32_t events);
  bool pump(Id id, std::uint8_t from);
  Moved move_once(Pair& pair, std::uint8_t from, bool& more, ssize_t& n);
  Moved drain_pipe(Pair& pair, std::uint8_t from);
  bool fill_pipe(Pair& pair, std::uint8_t from, ssize_t& n);
  ssize_t splice_in(const Pair& pair, std::uint8_t from) const;
  Moved drain_held(Pair& pair, std::uint8_t from);
  Moved copy_through(Pair& pair, std::uint8_t from, ssize_t& n);
  ssize_t read_leg(Leg& leg);
  Moved write_some(Pair& pair, std::uint8_t from, ByteView& rest);
  static bool close_tls(const Pair& pair, std::uint8_t from);
  Moved copy_once(Pair& pair, std::uint8_t from, ssize_t& n);
  void count(Pair& pair, std::uint8_t from, ssize_t n);
  bool finish_direction(Id id, std::uint8_t from);
  void set_interest(Id id, std::uint8_t side, std::uint32_t events);
  void watch(Id id, std::uint8_t side);
  bool watch_again(Id id);
  void end(Id id, RelayEnd why);
  void release(Id id);

  RelaySettings settings_;
  Handlers handlers_;
  PipePool pipes_;
  std::vector<std::uint8_t> copy_buffer_;  // empty until it is needed
  std::vector<Pair> pairs_;
  std::vector<Id> free_;
  std::size_t active_ = 0;
  LogBudget log_{5};
  Poller poller_;
};

}  // namespace weir
