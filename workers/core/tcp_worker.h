// What the workers of TCP protocols (RTMP, HTTP) share around their sessions: the table of
// connections, why they end, how a worker drains, who is refused.
//
// Owner: one worker. A connection is referred to by its index and generation, never by pointer
// across event-loop turns. No errors here but what is logged.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "common/base/log_budget.h"
#include "ipc/messages.h"
#include "workers/core/splice_relay.h"

namespace weir {

// Why a connection, or a request on it, ended: log, metrics, access log.
enum class EndReason : std::uint8_t {
  kDone,  // HTTP: the response is complete, or the client left between requests
  kClientClosed,
  kOriginClosed,
  kHandshakeTimeout,  // RTMP: the client did not name a stream in time
  kAnswerTimeout,     // RTMP: the origin did not answer publish or play in time
  kRequestTimeout,    // HTTP
  kOriginTimeout,     // HTTP
  kIdle,
  kStalled,
  kClientProtocol,
  kOriginProtocol,
  kNoOrigin,
  kHook,  // the operator's own server said no
  kLimit,
  kStreamMoved,  // it is published at another origin: the client is to come again
  kShutdown,
  kError,
  kTls,  // no TLS handshake
};
std::string_view to_string(EndReason reason);
EndReason reason_of(RelayEnd why);

// `Section`: the configuration's section of the protocol.
template <typename Section>
RelaySettings relay_settings(const Section& section) {
  return {section.relay_delay, section.idle_timeout, section.stall_timeout, section.linger_timeout};
}

// `Conn` has id, generation and used, and is default-constructible.
template <typename Conn>
class ConnTable {
 public:
  // An entry for a new connection.
  std::uint32_t take(SessionId id) {
    auto index = static_cast<std::uint32_t>(conns_.size());
    if (free_.empty()) {
      conns_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    conns_[index].used = true;
    conns_[index].id = id;
    ++active_;
    return index;
  }
  // Forgets it; what it owned goes. Handles of it are no longer valid.
  void release(std::uint32_t index) {
    const std::uint32_t generation = conns_[index].generation + 1;
    conns_[index] = Conn{};
    conns_[index].generation = generation;
    free_.push_back(index);
    --active_;
  }
  Conn& operator[](std::size_t index) { return conns_[index]; }
  const Conn& operator[](std::size_t index) const { return conns_[index]; }
  bool valid(std::uint32_t index, std::uint32_t generation) const {
    return index < conns_.size() && conns_[index].used && conns_[index].generation == generation;
  }
  // The connection of this session; size() if there is none.
  std::uint32_t find(SessionId id) const {
    const auto found = std::find_if(conns_.begin(), conns_.end(),
                                    [&](const Conn& conn) { return conn.used && conn.id == id; });
    return static_cast<std::uint32_t>(found - conns_.begin());
  }
  // Entries, used and free.
  std::uint32_t size() const { return static_cast<std::uint32_t>(conns_.size()); }
  std::uint64_t active() const { return active_; }

 private:
  std::vector<Conn> conns_;
  std::vector<std::uint32_t> free_;
  std::uint64_t active_ = 0;
};

// A worker that takes no new sessions and keeps those that it has, until a deadline.
class Drain {
 public:
  // deadline_ms 0: for as long as they last. True the first time.
  bool begin(std::uint64_t deadline_ms, std::uint64_t sessions);
  bool begun() const { return begun_; }
  // True: what is left must end now.
  bool overdue(std::uint64_t now_ms, std::uint64_t sessions) const;

 private:
  bool begun_ = false;
  std::uint64_t deadline_ms_ = 0;
};

// A player that has had less has had no media: servers say hello to those who wait, too.
inline constexpr std::uint64_t kSilentBytes = 8192;

// The master wants a session ended. Whether it is to end: one that is told to only if it has had no
// media may have had some.
bool must_end(const ipc::SessionEnd& order, std::uint64_t bytes_to_client);
EndReason reason_of(const ipc::SessionEnd& order);
// `section`: of the options that name the limit.
void log_ended_by_master(const ipc::SessionEnd& order, std::string_view section,
                         std::string_view stream, const Endpoint& client);
// A connection or a request that a limit keeps out.
void log_refused(LogBudget& budget, std::string_view event, const Endpoint& client,
                 std::uint64_t limit);

}  // namespace weir
