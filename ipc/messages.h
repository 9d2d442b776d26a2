// The messages between workers and the master: fixed structs, one a SOCK_SEQPACKET datagram,
// bounded by limits::kIpcMessageBytes. kMessageRules says who may send what; the receiver drops
// (and logs) anything else. A message from a worker is hostile input too: decode() checks every
// length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/log.h"
#include "ipc/message.h"
#include "ipc/route_reader.h"
#include "ipc/shm_layout.h"

namespace weir::ipc {

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
  std::uint8_t reserved[2] = {};
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
  std::uint8_t reserved[2] = {};
};

struct ProbeResult {
  static constexpr auto kType = MessageType::kProbeResult;
  MessageHeader header;
  OriginRef origin;
  EndpointKind endpoint = EndpointKind::kRtmp;
  DialOutcome outcome = DialOutcome::kOk;
  std::uint8_t reserved[2] = {};
};

// To the control worker: a client could not reach that endpoint, or its ejection is over. Answered
// by ProbeResults, until the matter is clear.
struct ProbeNow {
  static constexpr auto kType = MessageType::kProbeNow;
  MessageHeader header;
  OriginRef origin;
  EndpointKind endpoint = EndpointKind::kRtmp;
  std::uint8_t reserved[3] = {};
};

struct OriginRegister {
  static constexpr auto kType = MessageType::kOriginRegister;
  MessageHeader header;
  char server[kTextBytes] = {};
  char service[kTextBytes] = {};
  char pid[kTextBytes] = {};
  char device_id[kTextBytes] = {};
  HostNames hosts;
  Endpoint ip;  // this and the endpoints may have Family::kName
  std::uint8_t endpoint_count[kEndpointKinds] = {};
  std::uint8_t reserved[3] = {};
  Endpoint endpoints[kEndpointKinds][limits::kEndpointsPerKind] = {};
};

// The address that a name of the origin stands for from now on.
struct OriginAddress {
  static constexpr auto kType = MessageType::kOriginAddress;
  MessageHeader header;
  OriginRef origin;
  std::uint32_t host = 0;  // its number in OriginRecord::hosts
  Endpoint address;        // port 0
};

// The origin's own API shows the stream as published there, and the shared state says otherwise, or
// has other facts.
struct StreamLearned {
  static constexpr auto kType = MessageType::kStreamLearned;
  MessageHeader header;
  OriginRef origin;
  StreamFacts facts;
  KeyTail key;
  std::uint8_t reserved[2] = {};
};

// It shows it no longer.
struct StreamUnlearned {
  static constexpr auto kType = MessageType::kStreamUnlearned;
  MessageHeader header;
  OriginRef origin;
  KeyTail key;
  std::uint8_t reserved[2] = {};
};

// Which API of an origin shows its streams, and whether its answers come: sent when that changes.
struct OriginLearn {
  static constexpr auto kType = MessageType::kOriginLearn;
  MessageHeader header;
  OriginRef origin;
  LearnApi api = LearnApi::kNone;
  LearnState state = LearnState::kUnknown;
  std::uint8_t reserved[2] = {};
};

// The origin has answered a player of a stream that nobody knew, and who was searching.
struct StreamFound {
  static constexpr auto kType = MessageType::kStreamFound;
  MessageHeader header;
  SessionId session = 0;
  OriginRef origin;
  EndpointKind protocol = EndpointKind::kHttp;
  std::uint8_t reserved = 0;
  KeyTail key;
  std::uint8_t unused[4] = {};
};

enum class NameAnswer : std::uint8_t { kAddresses, kAbsent };
// What the name of an `origins_from` block stands for now, one family of addresses; in several
// messages when they are many. Until a worker knows it says nothing, and what was told last stays.
struct NamedAddresses {
  static constexpr auto kType = MessageType::kNamedAddresses;
  static constexpr std::size_t kRows = 192;
  MessageHeader header;
  std::uint32_t generation = 0;  // the worker's: others have other blocks
  std::uint32_t block = 0;       // its number in Config::origins_from
  std::uint32_t serial = 0;      // the same in all parts of an answer, another in the next one
  std::uint16_t total = 0;       // rows of all parts
  std::uint16_t first = 0;       // rows of the parts before; they come in order
  std::uint8_t family = 0;       // 0 IPv4, 1 IPv6
  NameAnswer answer = NameAnswer::kAddresses;
  std::uint16_t row_count = 0;
  Endpoint rows[kRows] = {};  // port 0
};

enum class OriginAction : std::uint8_t { kDrain, kUndrain, kRemove };
struct OriginCommand {
  static constexpr auto kType = MessageType::kOriginCommand;
  MessageHeader header;
  OriginRef origin;
  OriginAction action = OriginAction::kDrain;
  std::uint8_t reserved[3] = {};
};

enum class RouteStatus : std::uint8_t { kOk, kNoOrigin, kTableFull, kStreamElsewhere };
std::string_view to_string(RouteStatus status);
struct RouteAnswer {
  static constexpr auto kType = MessageType::kRouteAnswer;
  MessageHeader header;
  RouteStatus status = RouteStatus::kNoOrigin;
  std::uint8_t reserved[3] = {};
  OriginRef origin;  // for kOk
};

enum class ReplyCode : std::uint16_t { kOk, kNotFound, kTableFull, kInvalid, kStatic };
// Answer to OriginRegister and OriginCommand.
struct Reply {
  static constexpr auto kType = MessageType::kReply;
  MessageHeader header;
  ReplyCode code = ReplyCode::kOk;
  std::uint8_t reserved[2] = {};
  OriginRef origin;
  Tail<254> text;  // for people, when code is not kOk
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
  std::uint8_t reserved[3] = {};
};

// kMoved: the stream is published at another origin; kMovedIfSilent: the same, for those who have
// had no media where they are.
enum class SessionEndReason : std::uint8_t {
  kAddressLimit,
  kStreamLimit,
  kKicked,
  kMoved,
  kMovedIfSilent
};
struct SessionEnd {
  static constexpr auto kType = MessageType::kSessionEnd;
  MessageHeader header;
  SessionId session = 0;
  SessionEndReason reason = SessionEndReason::kKicked;
  std::uint8_t reserved[7] = {};
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

}  // namespace weir::ipc
