// Side: one non-blocking socket while its bytes go through user space, on an edge-triggered set,
// and the output that waits for it; with TLS in between or without. Owner: the session; protocols
// look at the bytes in between.
#pragma once

#include <sys/epoll.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/fd.h"
#include "common/net/tls_stream.h"

namespace weir {

// Bytes on their way to a socket.
struct OutBuffer {
  std::vector<std::uint8_t> data;
  std::size_t sent = 0;

  bool empty() const { return sent == data.size(); }
  std::size_t pending() const { return data.size() - sent; }
  void append(ByteView bytes) { data.insert(data.end(), bytes.begin(), bytes.end()); }
  void append(std::string_view text) { append(as_bytes(text)); }
  void clear() {
    data.clear();
    sent = 0;
  }
};

// What a Side is registered with. Without EPOLLRDHUP a FIN behind the last bytes would go unseen.
inline constexpr std::uint32_t kSideEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

enum class IoStatus : std::uint8_t { kOk, kBlocked, kEnded };

struct Side {
  UniqueFd fd;
  std::unique_ptr<net::TlsStream> tls;  // of fd; null: plain
  bool readable = false;                // there may be more to read
  bool writable = false;
  bool hung_up = false;  // the peer sends no more than what waits here
  OutBuffer out;

  // Takes what an event says.
  void note(std::uint32_t epoll_events);
  // REQUIRES: tls. kOk: bytes may go; kEnded: tls->failure() says why not.
  IoStatus handshake();
  bool shaking() const { return tls && !tls->established(); }
  // Writes what waits. `moved` counts what left. kEnded: the peer is gone, errno says how.
  IoStatus flush(std::size_t& moved);
  // One read into `buffer`, which with TLS has room for a record (16 kB). kOk: n bytes, at least
  // one; kEnded: n is 0 for an end in order, -1 for an error.
  IoStatus read(MutableBytes buffer, ssize_t& n);
  // Says to the peer that no more comes; it may still send.
  void finish();

 private:
  IoStatus send_some(std::size_t& n);
};

}  // namespace weir
