#include "ipc/messages.h"

#include <array>

#include "ipc/flow_messages.h"

namespace weir::ipc {
namespace {

constexpr std::uint8_t bit(WorkerKind kind) {
  return static_cast<std::uint8_t>(1U << static_cast<unsigned>(kind));
}
constexpr std::uint8_t kControlOnly = bit(WorkerKind::kControl);
constexpr std::uint8_t kMedia =
    static_cast<std::uint8_t>(bit(WorkerKind::kRtmp) | bit(WorkerKind::kHttp) |
                              bit(WorkerKind::kRtc) | bit(WorkerKind::kSrt));
constexpr std::uint8_t kUdp =
    static_cast<std::uint8_t>(bit(WorkerKind::kRtc) | bit(WorkerKind::kSrt));
// WebRTC is signalled over HTTP; SRT by its own handshake.
constexpr std::uint8_t kSignalling =
    static_cast<std::uint8_t>(bit(WorkerKind::kHttp) | bit(WorkerKind::kSrt));
constexpr std::uint8_t kAll = static_cast<std::uint8_t>(kControlOnly | kMedia);

// Who may send what. A kind that is not named here has its message dropped by the receiver, so a
// media worker that was taken over can neither register nor drain an origin.
constexpr std::array<MessageRule, 34> kMessageRules = {{
    {MessageType::kReady, "ready", true, kAll},
    {MessageType::kRouteRequest, "route_request", true, kMedia},
    {MessageType::kSessionOpen, "session_open", true, kMedia},
    {MessageType::kSessionClose, "session_close", true, kMedia},
    {MessageType::kDialResult, "dial_result", true, kMedia},
    {MessageType::kProbeResult, "probe_result", true, kControlOnly},
    {MessageType::kOriginRegister, "origin_register", true, kControlOnly},
    {MessageType::kOriginCommand, "origin_command", true, kControlOnly},
    {MessageType::kOriginAddress, "origin_address", true, kControlOnly},
    {MessageType::kStreamLearned, "stream_learned", true, kControlOnly},
    {MessageType::kStreamUnlearned, "stream_unlearned", true, kControlOnly},
    {MessageType::kOriginLearn, "origin_learn", true, kControlOnly},
    {MessageType::kStreamFound, "stream_found", true, kMedia},
    {MessageType::kNamedAddresses, "named_addresses", true, kControlOnly},
    {MessageType::kMasterCommand, "master_command", true, kControlOnly},
    {MessageType::kFlowCreate, "flow_create", true, kSignalling},
    {MessageType::kFlowCredentials, "flow_credentials", true, bit(WorkerKind::kHttp)},
    {MessageType::kFlowClaim, "flow_claim", true, kUdp},
    {MessageType::kFlowStats, "flow_stats", true, kUdp},
    {MessageType::kFlowEnd, "flow_end", true,
     static_cast<std::uint8_t>(kUdp | kSignalling | kControlOnly)},
    {MessageType::kRouteAnswer, "route_answer", false, kMedia},
    {MessageType::kReply, "reply", false, kControlOnly},
    {MessageType::kDrain, "drain", false, kAll},
    {MessageType::kQuit, "quit", false, kAll},
    {MessageType::kReopenLog, "reopen_log", false, kAll},
    {MessageType::kSessionEnd, "session_end", false, kMedia},
    {MessageType::kProbeNow, "probe_now", false, kControlOnly},
    {MessageType::kCommandNews, "command_news", false, kControlOnly},
    {MessageType::kServe, "serve", false, kUdp},
    {MessageType::kFlowCreated, "flow_created", false, kSignalling},
    {MessageType::kFlowAssign, "flow_assign", false, kUdp},
    {MessageType::kFlowRelease, "flow_release", false, kUdp},
    {MessageType::kFlowEnded, "flow_ended", false, kControlOnly},
    {MessageType::kFlowAbandoned, "flow_abandoned", false, bit(WorkerKind::kHttp)},
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

std::string_view to_string(FlowStatus status) {
  switch (status) {
    case FlowStatus::kOk:
      return "ok";
    case FlowStatus::kTableFull:
      return "table_full";
    case FlowStatus::kTooLong:
      return "too_long";
    case FlowStatus::kInvalid:
      return "invalid";
    case FlowStatus::kDuplicate:
      return "duplicate";
    case FlowStatus::kAddressLimit:
      return "address_limit";
    case FlowStatus::kStreamLimit:
      return "stream_limit";
    case FlowStatus::kNoOrigin:
      return "no_origin";
    case FlowStatus::kUnknown:
      return "unknown_session";
    case FlowStatus::kNoDescriptors:
      return "no_descriptors";
    case FlowStatus::kUnreachable:
      return "unreachable";
    case FlowStatus::kBusy:
      return "busy";
    case FlowStatus::kStopping:
      return "stopping";
  }
  return "unknown";
}

std::string_view to_string(FlowEndReason reason) {
  switch (reason) {
    case FlowEndReason::kMoved:
      return "moved";
    case FlowEndReason::kDeleted:
      return "deleted";
    case FlowEndReason::kKicked:
      return "kicked";
    case FlowEndReason::kIdle:
      return "idle";
    case FlowEndReason::kClosed:
      return "closed";
    case FlowEndReason::kRefused:
      return "refused";
    case FlowEndReason::kSignalTimeout:
      return "signal_timeout";
    case FlowEndReason::kOriginGone:
      return "origin_gone";
    case FlowEndReason::kPortLost:
      return "port_lost";
    case FlowEndReason::kStopped:
      return "stopped";
    case FlowEndReason::kStreamMoved:
      return "stream_moved";
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
