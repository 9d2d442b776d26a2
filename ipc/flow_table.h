// The session table of WebRTC and SRT (docs/UDP.md, docs/SHM.md): the segment "weir-flows". Called
// flows in the code, to tell them from the sessions of a worker. Written by the master alone,
// mapped read-only by everyone else: header, username index, client index, records. With
// `session_file` it is a file that outlives the service; what a starting master finds there is
// untrusted input (FlowWriter::restore).
//
// Indexes, never pointers. Any change of a record or of the header must raise kFlowVersion.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "common/base/endpoint.h"
#include "common/base/hash.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "ipc/seqlock.h"
#include "ipc/shm_layout.h"

namespace weir::ipc {

inline constexpr std::uint32_t kFlowMagic = 0x464C4557;  // "WELF"
inline constexpr std::uint32_t kFlowVersion = 4;

// A reference to a flow that stays safe when the slot is reused.
struct FlowRef {
  std::uint32_t slot = kNoSlot;
  std::uint32_t generation = 0;
  friend bool operator==(const FlowRef&, const FlowRef&) = default;
};

enum class FlowKind : std::uint8_t { kRtc, kSrt };
inline constexpr std::size_t kFlowKinds = 2;
std::string_view to_string(FlowKind kind);

// Signalled: no address of the client is proven yet. Connected: it was claimed by a worker.
enum class FlowState : std::uint8_t { kFree, kSignalled, kConnected };
std::string_view to_string(FlowState state);

// How the client's packets come. A TCP connection cannot change its worker (docs/UDP.md).
enum class FlowTransport : std::uint8_t { kUdp, kTcp };
std::string_view to_string(FlowTransport transport);

// The texts of a flow, one after the other in one store, so that a long one may take what the
// others leave. Used in the record and in FlowCreate.
enum class FlowField : std::uint8_t {
  kUsername,        // STUN USERNAME of the client's requests: `answer-ufrag:offer-ufrag`
  kPassword,        // the answer's ice-pwd, key of their MESSAGE-INTEGRITY
  kSecondUsername,  // the same after an ICE restart; empty: there was none
  kSecondPassword,
  kKey,       // stream key
  kResource,  // path and query at the origin's API that ends the session there, or the address that
              // it publishes to (rtc_removal.h); may be empty
  kParam,     // what hooks get as `param` when the session ends; may be empty
};
inline constexpr std::size_t kFlowFields = 7;

struct FlowText {
  std::uint16_t length[kFlowFields] = {};
  std::uint16_t reserved = 0;
  char bytes[limits::kFlowTextBytes] = {};

  // REQUIRES: valid().
  std::string_view get(FlowField field) const;
  // Replaces the field's text; false and no change when it does not fit.
  bool set(FlowField field, std::string_view value);
  std::size_t used() const;
  bool valid() const { return used() <= sizeof bytes; }
};

struct FlowCounters {
  std::uint64_t packets_from_client = 0;
  std::uint64_t bytes_from_client = 0;
  std::uint64_t packets_to_client = 0;
  std::uint64_t bytes_to_client = 0;
  std::uint64_t drops = 0;             // packets given up by a worker, both ways
  std::uint64_t lost_from_client = 0;  // SRT: packets that the receivers reported as missing
  std::uint64_t lost_to_client = 0;
};

// Times are CLOCK_MONOTONIC in ms; header.boot_id says of which boot.
struct FlowRecord {
  SessionId session = 0;         // for logs, API and kick
  SessionId group = 0;           // session id of the first flow of the same signalling
  std::uint8_t token[16] = {};   // secret: names the session in the URL that clients get
  std::uint32_t generation = 0;  // of this slot; stays when it is free
  FlowKind kind = FlowKind::kRtc;
  FlowState state = FlowState::kFree;
  FlowTransport transport = FlowTransport::kUdp;
  Role role = Role::kPlayer;
  OriginRef origin;
  Endpoint origin_endpoint;       // where the upstream socket is connected to
  Endpoint upstream_local;        // its own address and port; empty: there was none yet
  Endpoint client;                // proven; empty while kSignalled
  Endpoint local;                 // address and port that the client sends to: replies leave there
  Endpoint signaller;             // client of the signalling, port 0: limits and logs
  std::uint32_t owner = kNoSlot;  // page of the worker that serves it; kNoSlot: waits for one
  std::uint32_t srt_caller_id = 0;       // the client's SRT socket id
  std::uint32_t srt_listener_id = 0;     // the origin's, what the client's packets are addressed to
  std::uint32_t srt_first_sequence = 0;  // of the client's handshake: a new call has another
  std::uint64_t created_ms = 0;
  std::uint64_t activity_ms = 0;  // last packet of either side that the owner told of
  std::uint64_t stun_ms = 0;      // last proven STUN request, or SRT control packet
  std::uint32_t srt_rtt_us = 0;   // between the ends, as a receiver told last; 0: not told yet
  std::uint32_t srt_rtt_variance_us = 0;
  FlowCounters counters;
  FlowText text;

  std::string_view get(FlowField field) const { return text.get(field); }
};
static_assert(sizeof(FlowRecord) == 1096);
static_assert(sizeof(FlowRecord::text) == 840);

// Why the master refused something; in the order of FlowStatus (ipc/messages.h).
inline constexpr std::size_t kFlowStatuses = 13;

struct FlowHeader {
  std::uint32_t magic = kFlowMagic;
  std::uint32_t version = kFlowVersion;
  std::uint64_t total_bytes = 0;
  std::uint32_t capacity = 0;
  std::uint32_t username_buckets = 0;  // power of two, at least 4 * capacity
  std::uint32_t client_buckets = 0;    // the same
  std::int32_t master_pid = 0;
  std::uint64_t usernames_offset = 0;
  std::uint64_t clients_offset = 0;
  std::uint64_t flows_offset = 0;
  HashSeed seed;
  char boot_id[40] = {};  // of the kernel, as text
  std::atomic<std::uint64_t> heartbeat_ms{0};
  std::atomic<std::uint32_t> used[kFlowKinds][2] = {};  // by kind; signalled, connected
  std::atomic<std::uint64_t> created[kFlowKinds] = {};
  std::atomic<std::uint64_t> claims[kFlowKinds] = {};     // first claims and moved clients
  std::atomic<std::uint64_t> takeovers[kFlowKinds] = {};  // another worker became the owner
  std::atomic<std::uint64_t> restored[kFlowKinds] = {};   // taken over from an earlier master
  std::atomic<std::uint64_t> ended[kFlowKinds] = {};
  std::atomic<std::uint64_t> refused[kFlowStatuses] = {};
  // Slots below it were used once. Those beyond are free and must not even be read: in a file they
  // have no storage, and on a full tmpfs a look at them is a SIGBUS.
  std::atomic<std::uint32_t> mark{0};
};

using FlowSlot = SeqSlot<FlowRecord>;
// Buckets of both indexes: 0 = empty, else 2 * slot + which + 1. `which` is the credential set in
// the username index; in the client index 0 for WebRTC and for the origin's SRT socket id, 1 for
// the client's.
using FlowBucket = std::atomic<std::uint32_t>;

// What is hashed in the client index. An Endpoint's scheme does not count.
std::uint64_t client_hash(HashSeed seed, const Endpoint& client, std::uint32_t srt_id,
                          std::uint32_t which);
bool same_endpoint(const Endpoint& a, const Endpoint& b);

}  // namespace weir::ipc
