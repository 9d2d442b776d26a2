#include "workers/core/tcp_worker.h"

#include <string>

#include "common/base/clock.h"

namespace weir {
namespace {

// More than handshake and answers: a player who has had less has seen nothing.

}  // namespace

std::string_view to_string(EndReason reason) {
  switch (reason) {
    case EndReason::kDone:
      return "done";
    case EndReason::kClientClosed:
      return "client_closed";
    case EndReason::kOriginClosed:
      return "origin_closed";
    case EndReason::kHandshakeTimeout:
      return "handshake_timeout";
    case EndReason::kAnswerTimeout:
      return "answer_timeout";
    case EndReason::kRequestTimeout:
      return "request_timeout";
    case EndReason::kOriginTimeout:
      return "origin_timeout";
    case EndReason::kIdle:
      return "idle_timeout";
    case EndReason::kStalled:
      return "stalled";
    case EndReason::kClientProtocol:
      return "client_protocol";
    case EndReason::kOriginProtocol:
      return "origin_protocol";
    case EndReason::kNoOrigin:
      return "no_origin";
    case EndReason::kHook:
      return "hook_refused";
    case EndReason::kLimit:
      return "limit";
    case EndReason::kStreamMoved:
      return "stream_moved";
    case EndReason::kShutdown:
      return "shutdown";
    case EndReason::kError:
      return "error";
    case EndReason::kTls:
      return "tls_handshake";
  }
  return "error";
}

EndReason reason_of(RelayEnd why) {
  switch (why) {
    case RelayEnd::kClientClosed:
    case RelayEnd::kLeft:
      return EndReason::kClientClosed;
    case RelayEnd::kOriginClosed:
      return EndReason::kOriginClosed;
    case RelayEnd::kIdle:
      return EndReason::kIdle;
    case RelayEnd::kStalled:
      return EndReason::kStalled;
    case RelayEnd::kUnwatched:
      return EndReason::kError;
  }
  return EndReason::kError;
}

bool Drain::begin(std::uint64_t deadline_ms, std::uint64_t sessions) {
  deadline_ms_ = deadline_ms;
  if (begun_) return false;
  begun_ = true;
  LogLine(LogLevel::kInfo, "draining, takes no new session").field("sessions", sessions);
  return true;
}

bool Drain::overdue(std::uint64_t now_ms, std::uint64_t sessions) const {
  if (!begun_ || deadline_ms_ == 0 || now_ms < deadline_ms_ || sessions == 0) return false;
  LogLine(LogLevel::kNotice, "drain deadline reached, ending the sessions that are left")
      .field("sessions", sessions);
  return true;
}

bool must_end(const ipc::SessionEnd& order, std::uint64_t bytes_to_client) {
  return order.reason != ipc::SessionEndReason::kMovedIfSilent || bytes_to_client < kSilentBytes;
}

EndReason reason_of(const ipc::SessionEnd& order) {
  const bool moved = order.reason == ipc::SessionEndReason::kMoved ||
                     order.reason == ipc::SessionEndReason::kMovedIfSilent;
  return moved ? EndReason::kStreamMoved : EndReason::kLimit;
}

void log_ended_by_master(const ipc::SessionEnd& order, std::string_view section,
                         std::string_view stream, const Endpoint& client) {
  std::string reason = "kicked";
  if (order.reason == ipc::SessionEndReason::kAddressLimit)
    reason = std::string(section) + ".max_connections_per_address";
  if (order.reason == ipc::SessionEndReason::kStreamLimit)
    reason = std::string(section) + ".max_players_per_stream";
  const bool moved = reason_of(order) == EndReason::kStreamMoved;
  if (moved) reason = "the stream it waits for is published at another origin";
  LogLine(moved ? LogLevel::kInfo : LogLevel::kWarn, "session ended by the master")
      .session(order.session)
      .field("stream", stream)
      .field("client", client)
      .field("reason", reason);
}

void log_refused(LogBudget& budget, std::string_view event, const Endpoint& client,
                 std::uint64_t limit) {
  std::uint64_t suppressed = 0;
  if (!budget.take(monotonic_ms(), suppressed)) return;
  LogLine(LogLevel::kWarn, event)
      .field("client", client)
      .field("limit", limit)
      .field("suppressed", suppressed);
}

}  // namespace weir
