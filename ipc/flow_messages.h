// The messages about the sessions of WebRTC and SRT (docs/UDP.md, "Interfaces"). Framing, rules and
// encode/decode are those of ipc/messages.h.
#pragma once

#include <cstdint>
#include <string_view>

#include "ipc/flow_table.h"
#include "ipc/messages.h"

namespace weir::ipc {

constexpr bool is_about_flows(MessageType type) {
  return type >= MessageType::kFlowCreate && type <= MessageType::kFlowEnd;
}

enum class FlowStatus : std::uint8_t {
  kOk,
  kTableFull,      // max_udp_sessions
  kTooLong,        // credentials, key and resource do not fit into a record
  kInvalid,        // malformed, or references that do not belong together
  kDuplicate,      // the USERNAME, or the session id, is in the table already
  kAddressLimit,   // max_sessions_per_address
  kStreamLimit,    // max_players_per_stream
  kNoOrigin,       // the origin has gone meanwhile
  kUnknown,        // the session has ended
  kNoDescriptors,  // the master cannot open another socket
  kUnreachable,    // the origin's endpoint cannot be connected to
  kBusy,           // too many such messages of this worker; try again with the next packet
  kStopping,       // the service ends or is handed over
};
static_assert(static_cast<std::size_t>(FlowStatus::kStopping) + 1 == kFlowStatuses);
std::string_view to_string(FlowStatus status);

// "The origin has accepted this session": from an http worker before it sends the answer on to a
// WebRTC client, from an srt worker before it dials. Answered by FlowCreated.
struct FlowCreate {
  static constexpr auto kType = MessageType::kFlowCreate;
  MessageHeader header;
  SessionId session = 0;  // of this worker's own ids
  // Several flows of one signalling (m-lines that are not bundled): the id of the first one, which
  // this worker has created before; 0 for the first and for a single one.
  SessionId group = 0;
  FlowKind kind = FlowKind::kRtc;  // http workers: kRtc, srt workers: kSrt
  Role role = Role::kPlayer;
  std::uint8_t reserved[6] = {};
  OriginRef origin;
  Endpoint origin_endpoint;              // of the media: what the upstream socket connects to
  Endpoint signaller;                    // the client's address as the signalling saw it
  std::uint32_t srt_caller_id = 0;       // kSrt: the client's socket id
  std::uint32_t srt_first_sequence = 0;  // kSrt: the client's first sequence number
  // kRtc: kUsername, kPassword, kKey, kResource. kSrt: kKey. Both: kParam.
  FlowText texts;
};

// Answer to FlowCreate and FlowCredentials. Only after kOk may the client hear of the session.
struct FlowCreated {
  static constexpr auto kType = MessageType::kFlowCreated;
  MessageHeader header;
  FlowStatus status = FlowStatus::kInvalid;
  std::uint8_t reserved[7] = {};
  FlowRef flow;
  SessionId session = 0;
  std::uint8_t token[16] = {};  // FlowRecord::token
};

// An ICE restart (RFC 9725, 4.3.3): the pair that is valid besides the present one from now on. A
// third pair takes the place of the older one. Answered by FlowCreated.
struct FlowCredentials {
  static constexpr auto kType = MessageType::kFlowCredentials;
  MessageHeader header;
  FlowRef flow;
  Endpoint origin_endpoint;  // where the origin takes the media now; empty: as before
  FlowText texts;            // kUsername, kPassword
};

// "This client speaks to me and has proven that the session is its own": a first address, a new
// one, or an address that another worker served until now. Answered by FlowAssign.
struct FlowClaim {
  static constexpr auto kType = MessageType::kFlowClaim;
  MessageHeader header;
  FlowRef flow;
  Endpoint client;
  Endpoint local;  // address and port that the client's packet came to
  FlowTransport transport = FlowTransport::kUdp;
  std::uint8_t has_socket = 0;  // the sender has the upstream socket; else the answer brings it
  // WebRTC over UDP: 1 when the recorded client stays as it is. The sender has a proven request
  // from another address, and decides about the media when it owns the session.
  std::uint8_t keep_client = 0;
  std::uint8_t reserved[1] = {};
  std::uint32_t srt_caller_id = 0;    // 0: as before
  std::uint32_t srt_listener_id = 0;  // 0: as before
};

// The receiver owns the session from now on (kOk) or its claim is refused. header.request: that of
// the claim, 0 when the master gives it an ownerless session. Comes with the upstream socket unless
// `keep_socket`: the receiver has it already.
struct FlowAssign {
  static constexpr auto kType = MessageType::kFlowAssign;
  MessageHeader header;
  FlowStatus status = FlowStatus::kInvalid;
  bool keep_socket = false;
  std::uint8_t reserved[6] = {};
  FlowRef flow;
  SessionId session = 0;
};

enum class FlowEndReason : std::uint8_t {
  kMoved,          // FlowRelease only: another worker owns it now; the session goes on
  kDeleted,        // DELETE at the API port
  kKicked,         // System API
  kIdle,           // no packet of one side for the idle time
  kClosed,         // one side closed it (SRT SHUTDOWN, TCP connection closed for good)
  kRefused,        // the origin refused it
  kSignalTimeout,  // no client came in rtc.signal_timeout
  kOriginGone,     // the origin's port cannot be reached any more
  kPortLost,       // after a restart: the upstream port is taken
  kStopped,        // its protocol is not served any more
  kStreamMoved,    // the stream that it waits for is published at another origin
};
inline constexpr std::size_t kFlowEndReasons = 11;
std::string_view to_string(FlowEndReason reason);

// The receiver must forget the session, close its copy of the socket, and send nothing more for it.
struct FlowRelease {
  static constexpr auto kType = MessageType::kFlowRelease;
  MessageHeader header;
  FlowRef flow;
  SessionId session = 0;
  FlowEndReason reason = FlowEndReason::kMoved;
  std::uint8_t reserved[7] = {};
};

// Counters since the last row of the same session. From its owner, or from its last one.
struct FlowStatsRow {
  FlowRef flow;
  FlowCounters since;
  std::uint64_t activity_ms = 0;  // CLOCK_MONOTONIC; 0: none
  std::uint64_t stun_ms = 0;
  std::uint32_t srt_rtt_us = 0;  // 0: as before
  std::uint32_t srt_rtt_variance_us = 0;
};
static_assert(sizeof(FlowStatsRow) == 88);
inline constexpr std::size_t kFlowStatsRows = 45;
struct FlowStats {
  static constexpr auto kType = MessageType::kFlowStats;
  MessageHeader header;
  std::uint64_t row_count = 0;
  FlowStatsRow rows[kFlowStatsRows] = {};
};

// Ends a session. From its owner: kIdle, kClosed, kRefused, kOriginGone. From an http worker:
// kDeleted. From control: kKicked. kDeleted, kKicked and kRefused end the whole group.
struct FlowEnd {
  static constexpr auto kType = MessageType::kFlowEnd;
  MessageHeader header;
  FlowRef flow;
  FlowEndReason reason = FlowEndReason::kIdle;
  std::uint8_t reserved[3] = {};
};

// To the control worker, if hooks.on_stop or on_unpublish wants to hear of it: the last flow of a
// group has ended. Not of an SRT session that came to nothing (kRefused): its worker tells that.
struct FlowEnded {
  static constexpr auto kType = MessageType::kFlowEnded;
  MessageHeader header;
  SessionId session = 0;  // of the group
  FlowKind kind = FlowKind::kRtc;
  Role role = Role::kPlayer;
  std::uint8_t reserved[2] = {};
  Endpoint client;
  FlowText texts;  // kKey, kParam
};

// To an http worker: a WebRTC session has ended and its origin does not know, so that it would hold
// the stream's place until its own timeout. Of a group once.
struct FlowAbandoned {
  static constexpr auto kType = MessageType::kFlowAbandoned;
  MessageHeader header;
  SessionId session = 0;  // of the group
  OriginRef origin;
  Role role = Role::kPlayer;
  FlowEndReason reason = FlowEndReason::kIdle;
  std::uint8_t reserved[6] = {};
  std::uint64_t created_ms = 0;  // CLOCK_MONOTONIC
  FlowText texts;                // kKey, kResource
};

// A UDP worker may read its slot sockets from now on; until then they belong to the generation
// before it. Sent once to every rtc and srt worker, after READY.
struct Serve {
  static constexpr auto kType = MessageType::kServe;
  MessageHeader header;
};

}  // namespace weir::ipc
