// The messages between workers and the master: fixed structs, one a SOCK_SEQPACKET datagram,
// bounded by limits::kIpcMessageBytes. kMessageRules says who may send what; the receiver drops
// (and logs) anything else. A message from a worker is hostile input too: decode() checks every
// length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string_view>
#include <type_traits>

#include "common/base/bytes.h"
#include "common/base/log.h"
#include "ipc/route_reader.h"
#include "ipc/shm_layout.h"

namespace weir::ipc {

enum class MessageType : std::uint16_t {
  // worker -> master
  kReady = 1,
  kRouteRequest,
  kSessionOpen,
  kSessionClose,
  kDialResult,
  kProbeResult,
  kOriginRegister,
  kOriginCommand,
  kFlowCreate = 32,  // ipc/flow_messages.h
  kFlowCredentials,
  kFlowClaim,
  kFlowStats,
  kFlowEnd,
  // master -> worker
  kRouteAnswer = 64,
  kReply,
  kDrain,
  kQuit,
  kReopenLog,
  kSessionEnd,
  kServe = 96,  // ipc/flow_messages.h
  kFlowCreated,
  kFlowAssign,
  kFlowRelease,
  kFlowEnded,
  kFlowAbandoned,
};

struct MessageHeader {
  MessageType type{};
  std::uint16_t size = 0;     // of the whole message
  std::uint32_t request = 0;  // chosen by the asker, repeated in the answer
};

// A text at the end of a message; only the used part travels.
template <std::size_t N>
struct Tail {
  std::uint16_t length = 0;
  char text[N] = {};
  std::string_view view() const { return {text, length}; }
  // Cuts what does not fit.
  void assign(std::string_view value) {
    length = static_cast<std::uint16_t>(value.size() < N ? value.size() : N);
    std::memcpy(text, value.data(), length);
  }
};
using KeyTail = Tail<512>;

struct Ready {
  static constexpr auto kType = MessageType::kReady;
  MessageHeader header;
};

inline constexpr std::size_t kMaxFailed = 16;
// "Where does this stream live?" after a miss or a failed dial; answered by RouteAnswer. The master
// picks, records the stream and answers; two workers that ask at once get the same answer.
struct RouteRequest {
  static constexpr auto kType = MessageType::kRouteRequest;
  MessageHeader header;
  SessionId session = 0;
  EndpointKind protocol = EndpointKind::kRtmp;  // the origin must have such an endpoint
  Role role = Role::kPlayer;
  std::uint16_t failed_count = 0;
  OriginRef failed[kMaxFailed] = {};  // origins that this client has tried already
  KeyTail key;
};

// A session has reached this origin. Sent once before its SessionClose.
struct SessionOpen {
  static constexpr auto kType = MessageType::kSessionOpen;
  MessageHeader header;
  SessionId session = 0;
  OriginRef origin;
  Endpoint client;
  EndpointKind protocol = EndpointKind::kRtmp;
  Role role = Role::kPlayer;
  KeyTail key;
};

struct SessionClose {
  static constexpr auto kType = MessageType::kSessionClose;
  MessageHeader header;
  SessionId session = 0;
};

enum class DialOutcome : std::uint8_t { kOk, kRefused, kTimeout, kHandshake, kTls, kOther };
// A dial that failed before the origin's endpoint had said a word. kOk is not sent.
struct DialResult {
  static constexpr auto kType = MessageType::kDialResult;
  MessageHeader header;
  OriginRef origin;
  EndpointKind endpoint = EndpointKind::kRtmp;
  DialOutcome outcome = DialOutcome::kOk;
};

struct ProbeResult {
  static constexpr auto kType = MessageType::kProbeResult;
  MessageHeader header;
  OriginRef origin;
  EndpointKind endpoint = EndpointKind::kRtmp;
  DialOutcome outcome = DialOutcome::kOk;
};

struct OriginRegister {
  static constexpr auto kType = MessageType::kOriginRegister;
  MessageHeader header;
  char server[kTextBytes] = {};
  char service[kTextBytes] = {};
  char pid[kTextBytes] = {};
  char device_id[kTextBytes] = {};
  Endpoint ip;
  std::uint8_t endpoint_count[kEndpointKinds] = {};
  Endpoint endpoints[kEndpointKinds][limits::kEndpointsPerKind] = {};
};

enum class OriginAction : std::uint8_t { kDrain, kUndrain, kRemove };
struct OriginCommand {
  static constexpr auto kType = MessageType::kOriginCommand;
  MessageHeader header;
  OriginRef origin;
  OriginAction action = OriginAction::kDrain;
};

enum class RouteStatus : std::uint8_t { kOk, kNoOrigin, kTableFull, kStreamElsewhere };
std::string_view to_string(RouteStatus status);
struct RouteAnswer {
  static constexpr auto kType = MessageType::kRouteAnswer;
  MessageHeader header;
  RouteStatus status = RouteStatus::kNoOrigin;
  OriginRef origin;  // for kOk
};

enum class ReplyCode : std::uint16_t { kOk, kNotFound, kTableFull, kInvalid, kStatic };
// Answer to OriginRegister and OriginCommand.
struct Reply {
  static constexpr auto kType = MessageType::kReply;
  MessageHeader header;
  ReplyCode code = ReplyCode::kOk;
  OriginRef origin;
  Tail<256> text;  // for people, when code is not kOk
};

// Stop accepting, go on with what is there, leave when it is empty. deadline_ms: when the rest is
// ended (CLOCK_MONOTONIC), 0 for never.
struct Drain {
  static constexpr auto kType = MessageType::kDrain;
  MessageHeader header;
  std::uint64_t deadline_ms = 0;
};

// End every session now, say why in the log, leave.
struct Quit {
  static constexpr auto kType = MessageType::kQuit;
  MessageHeader header;
};

enum class LogKind : std::uint8_t { kError, kAccess };
// Carries the new log file's descriptor.
struct ReopenLog {
  static constexpr auto kType = MessageType::kReopenLog;
  MessageHeader header;
  LogKind log = LogKind::kError;
};

enum class SessionEndReason : std::uint8_t { kAddressLimit, kStreamLimit, kKicked };
struct SessionEnd {
  static constexpr auto kType = MessageType::kSessionEnd;
  MessageHeader header;
  SessionId session = 0;
  SessionEndReason reason = SessionEndReason::kKicked;
};

struct MessageRule {
  MessageType type;
  std::string_view name;
  bool from_worker;    // else from the master
  std::uint8_t kinds;  // bit per WorkerKind that may send or receive it
};
// Null for an unknown type.
const MessageRule* find_rule(MessageType type);
bool may_send(WorkerKind kind, MessageType type);

// The bytes of a message as they travel. Sets header.type and header.size. Valid while `message`
// is.
template <typename M>
ByteView encode(M& message) {
  static_assert(std::is_trivially_copyable_v<M> && sizeof(M) <= limits::kIpcMessageBytes);
  std::size_t size = sizeof(M);
  if constexpr (requires { message.key.length; }) {
    size = offsetof(M, key) + offsetof(KeyTail, text) + message.key.length;
  } else if constexpr (requires { message.text.length; }) {
    size = offsetof(M, text) + offsetof(Tail<256>, text) + message.text.length;
  } else if constexpr (requires { message.row_count; }) {
    size = offsetof(M, rows) + message.row_count * sizeof message.rows[0];
  }
  message.header.type = M::kType;
  message.header.size = static_cast<std::uint16_t>(size);
  return {reinterpret_cast<const std::uint8_t*>(&message), size};  // trivially copyable: bytes
}

// False when the bytes are not exactly one message of this type.
template <typename M>
bool decode(ByteView bytes, M& out) {
  static_assert(std::is_trivially_copyable_v<M>);
  std::size_t fixed = sizeof(M);
  if constexpr (requires { out.key.length; }) {
    fixed = offsetof(M, key) + offsetof(KeyTail, text);
  } else if constexpr (requires { out.text.length; }) {
    fixed = offsetof(M, text) + offsetof(Tail<256>, text);
  } else if constexpr (requires { out.row_count; }) {
    fixed = offsetof(M, rows);
  }
  if (bytes.size() < fixed || bytes.size() > sizeof(M)) return false;
  out = M{};
  std::memcpy(static_cast<void*>(&out), bytes.data(), bytes.size());
  if (out.header.type != M::kType || out.header.size != bytes.size()) return false;
  if constexpr (requires { out.key.length; }) {
    return out.key.length == bytes.size() - fixed;
  } else if constexpr (requires { out.text.length; }) {
    return out.text.length == bytes.size() - fixed;
  } else if constexpr (requires { out.row_count; }) {
    return out.row_count <= std::size(out.rows) &&
           out.row_count * sizeof out.rows[0] == bytes.size() - fixed;
  }
  return true;
}

}  // namespace weir::ipc
