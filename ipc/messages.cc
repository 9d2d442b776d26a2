#include "ipc/messages.h"

#include <array>

namespace weir::ipc {
namespace {

constexpr std::uint8_t bit(WorkerKind kind) {
  return static_cast<std::uint8_t>(1U << static_cast<unsigned>(kind));
}
constexpr std::uint8_t kControlOnly = bit(WorkerKind::kControl);
constexpr std::uint8_t kMedia =
    static_cast<std::uint8_t>(bit(WorkerKind::kRtmp) | bit(WorkerKind::kHttp) |
                              bit(WorkerKind::kRtc) | bit(WorkerKind::kSrt));
constexpr std::uint8_t kAll = static_cast<std::uint8_t>(kControlOnly | kMedia);

// Who may send what. A kind that is not named here has its message dropped by the receiver, so a
// media worker that was taken over can neither register nor drain an origin.
constexpr std::array<MessageRule, 14> kMessageRules = {{
    {MessageType::kReady, "ready", true, kAll},
    {MessageType::kRouteRequest, "route_request", true, kMedia},
    {MessageType::kSessionOpen, "session_open", true, kMedia},
    {MessageType::kSessionClose, "session_close", true, kMedia},
    {MessageType::kDialResult, "dial_result", true, kMedia},
    {MessageType::kProbeResult, "probe_result", true, kAll},
    {MessageType::kOriginRegister, "origin_register", true, kControlOnly},
    {MessageType::kOriginCommand, "origin_command", true, kControlOnly},
    {MessageType::kRouteAnswer, "route_answer", false, kMedia},
    {MessageType::kReply, "reply", false, kControlOnly},
    {MessageType::kDrain, "drain", false, kAll},
    {MessageType::kQuit, "quit", false, kAll},
    {MessageType::kReopenLog, "reopen_log", false, kAll},
    {MessageType::kSessionEnd, "session_end", false, kMedia},
}};

}  // namespace

std::string_view to_string(RouteStatus status) {
  switch (status) {
    case RouteStatus::kOk:
      return "ok";
    case RouteStatus::kNoOrigin:
      return "no_origin";
    case RouteStatus::kTableFull:
      return "table_full";
    case RouteStatus::kStreamElsewhere:
      return "stream_elsewhere";
  }
  return "unknown";
}

const MessageRule* find_rule(MessageType type) {
  for (const MessageRule& rule : kMessageRules) {
    if (rule.type == type) return &rule;
  }
  return nullptr;
}

bool may_send(WorkerKind kind, MessageType type) {
  const MessageRule* rule = find_rule(type);
  return rule != nullptr && rule->from_worker && (rule->kinds & bit(kind)) != 0;
}

}  // namespace weir::ipc
