// The layout of Weir's shared memory (docs/SHM.md has the byte diagram). Two segments:
//
//   state     memfd "weir-state", written by the master alone, sealed F_SEAL_FUTURE_WRITE, or a
//   file
//             beside the session file (ipc/kept_file.h); mapped read-only by everyone else: header,
//             workers, origins, stream index, streams.
//   counters  memfds "weir-counters" of one page, one a process: ipc/counter_pages.h.
//
// Indexes, never pointers. Any change of a record or of the header must raise kStateVersion.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/endpoint.h"
#include "common/base/hash.h"
#include "common/base/host_name.h"
#include "common/base/limits.h"
#include "common/route/health.h"
#include "ipc/seqlock.h"
#include "ipc/stream_record.h"

namespace weir::ipc {

inline constexpr std::uint32_t kStateMagic = 0x52494557;  // "WEIR"
inline constexpr std::uint32_t kStateVersion = 9;
inline constexpr std::uint32_t kMaxWorkers = 4096;  // greatest capacity of the worker table
inline constexpr std::size_t kCounterPageBytes = 4096;
inline constexpr std::size_t kCountersPerPage = kCounterPageBytes / 8;

enum class WorkerKind : std::uint8_t { kControl, kRtmp, kHttp, kRtc, kSrt };
inline constexpr std::size_t kWorkerKinds = 5;
std::string_view to_string(WorkerKind kind);

// Starting: forked. Ready: said READY. Draining: takes no new session. Gone: slot is free.
enum class WorkerState : std::uint8_t { kGone, kStarting, kReady, kDraining };
std::string_view to_string(WorkerState state);

// The life of an origin. Up: alive; which of its endpoints take traffic is their own health. Dead:
// no heartbeat within the TTL. Free: nobody's slot (also what is left of a replaced or removed
// one).
//
//   kFree -> kUp      kUp -> kDead -> kUp (heartbeat) | kFree (forgotten)
enum class OriginState : std::uint8_t { kFree, kUp, kDead };

enum class EndpointKind : std::uint8_t { kRtmp, kHttp, kApi, kSrt, kRtc };
inline constexpr std::size_t kEndpointKinds = 5;
std::string_view to_string(EndpointKind kind);
// Nothing can be asked of WebRTC's UDP ports before an offer, so they are never ejected.
constexpr bool can_be_probed(EndpointKind kind) {
  return kind != EndpointKind::kRtc;
}

enum class Role : std::uint8_t { kPlayer, kPublisher };
std::string_view to_string(Role role);

// Which API of an origin may be asked for its streams, which one answers, and whether it does.
enum class LearnMode : std::uint8_t { kAuto, kSrs, kNginxRtmp, kOff };
enum class LearnApi : std::uint8_t { kNone, kSrs, kNginxRtmp };
enum class LearnState : std::uint8_t { kUnknown, kFresh, kFailing };
std::string_view to_string(LearnMode mode);
std::string_view to_string(LearnApi api);
std::string_view to_string(LearnState state);

// Whether an origin is an address of a name (`origins_from`). kLeft: was, and drains since. Then
// hosts has that name, and addresses[0] the address, which nobody looks up for this origin alone.
enum class Naming : std::uint8_t { kNone, kNamed, kLeft };

// A reference to an origin that stays safe when the slot is reused.
struct OriginRef {
  std::uint32_t slot = kNoSlot;
  std::uint32_t generation = 0;
  friend bool operator==(const OriginRef&, const OriginRef&) = default;
};

inline OriginRef origin_of(const StreamHead& stream) {
  return {stream.origin_slot, stream.origin_generation};
}

struct WorkerRecord {
  std::int32_t pid = 0;
  WorkerKind kind = WorkerKind::kControl;
  WorkerState state = WorkerState::kGone;
  std::uint16_t slot = 0;        // listen-socket slot it serves first
  std::uint32_t generation = 0;  // of the configuration
  std::uint32_t respawns = 0;    // of this slot since the master started
  std::uint64_t started_wall_ms = 0;
};
static_assert(sizeof(WorkerRecord) == 24);

inline constexpr std::size_t kTextBytes = limits::kOriginTextBytes + 1;  // NUL-terminated

// All endpoints of one kind that an origin has.
struct EndpointRecord {
  route::EndpointHealth health;
  std::uint64_t dials_failed = 0;  // clients' dials
  std::uint64_t probes_failed = 0;
};
static_assert(sizeof(EndpointRecord) == 40);

struct OriginRecord {
  std::uint32_t generation = 0;  // of this slot: a reference {slot, generation} never means another
  OriginState state = OriginState::kFree;
  bool is_static = false;  // from the configuration: never dies of TTL
  bool draining = false;   // takes no new stream
  bool send_client_ip = false;
  std::uint8_t endpoint_count[kEndpointKinds] = {};
  std::uint8_t proxy_protocol = 0;  // version of the header; proxy_protocol_of() says who gets it
  std::uint8_t ejected_kinds = 0;   // bit by EndpointKind, as their health says
  // Taken over from a service that has ended, and not heard of since (docs/STREAMS.md).
  bool unproven = false;
  // With the addresses of names; without those of others. Here, so that dialling one reads no more.
  Endpoint endpoints[kEndpointKinds][limits::kEndpointsPerKind] = {};
  std::uint32_t weight = 1;
  std::uint32_t streams = 0;     // stream slots that point here
  std::uint32_t publishers = 0;  // sessions of all workers
  std::uint32_t players = 0;
  std::uint64_t registered_wall_ms = 0;
  std::uint64_t heartbeat_ms = 0;  // CLOCK_MONOTONIC of the last registration
  EndpointRecord endpoint[kEndpointKinds];
  char name[kTextBytes] = {};  // configuration name, or the server id
  char server[kTextBytes] = {};
  char service[kTextBytes] = {};
  char pid[kTextBytes] = {};
  char device_id[kTextBytes] = {};
  char tls_name[kTextBytes] = {};  // as configured; certificate_name() decides
  HostNames hosts;                 // in the place of addresses
  // What each of them stands for now; empty: not known. The port is one at which a connection shows
  // that the address is right; 0: none is spoken there but UDP.
  Endpoint addresses[HostNames::kMax] = {};
  Endpoint ip;                              // like the endpoints
  LearnMode learn_mode = LearnMode::kAuto;  // as configured
  LearnApi learn_api = LearnApi::kNone;     // that has answered
  LearnState learn_state = LearnState::kUnknown;
  Naming naming = Naming::kNone;
  // What the configuration says of draining, to tell it from what the API has said.
  bool drain_configured = false;
  std::uint8_t reserved[7] = {};

  bool has(EndpointKind kind) const { return endpoint_count[static_cast<std::size_t>(kind)] > 0; }
  // Of the header that a connection to such an endpoint begins with; 0: none. An API is asked by
  // Weir itself, for many clients at once, and servers put no PROXY protocol there.
  std::uint8_t proxy_protocol_of(EndpointKind kind) const {
    return kind == EndpointKind::kRtmp || kind == EndpointKind::kHttp ? proxy_protocol
                                                                      : std::uint8_t{0};
  }
  bool is_ejected(EndpointKind kind) const {
    return (ejected_kinds >> static_cast<unsigned>(kind) & 1U) != 0;
  }
  std::uint32_t failures_in_row() const {  // of the endpoint that has most
    std::uint32_t most = 0;
    for (const EndpointRecord& each : endpoint) {
      if (each.health.failures_in_row > most) most = each.health.failures_in_row;
    }
    return most;
  }
  // It has names only, and nobody has said yet what they stand for.
  bool is_unresolved() const {
    for (const std::uint8_t count : endpoint_count) {
      if (count > 0) return false;
    }
    return hosts.text[0] != '\0';
  }
  // "": its IP address is in its certificate.
  std::string_view certificate_name() const {
    const std::string_view text = text_of(tls_name);
    return text.empty() ? hosts.at(1) : text;
  }
  // Clients of this kind may be sent there, as far as its health goes.
  bool takes(EndpointKind kind) const {
    return state == OriginState::kUp && has(kind) && !is_ejected(kind);
  }
};
static_assert(sizeof(OriginRecord) == 1400);

// The state in one word for people: "unresolved" as above, "ejected" when the RTMP endpoint is, or,
// without one, when all are that can be probed.
std::string_view state_text(const OriginRecord& origin);

// Why balancers shall send nobody here: an operator has asked for that, or the service stops.
enum class Leaving : std::uint32_t { kNo, kDrained, kStopping };

// Written once before the first fork, but for the atomics.
struct StateHeader {
  std::uint32_t magic = kStateMagic;
  std::uint32_t version = kStateVersion;
  std::uint64_t total_bytes = 0;
  std::uint32_t worker_capacity = 0;
  std::uint32_t origin_capacity = 0;
  std::uint32_t stream_capacity = 0;
  std::uint32_t bucket_count = 0;  // power of two, at least 2 * stream_capacity
  std::uint64_t workers_offset = 0;
  std::uint64_t origins_offset = 0;
  std::uint64_t buckets_offset = 0;
  std::uint64_t streams_offset = 0;
  std::uint64_t keys_offset = 0;  // stream_capacity key blocks, then kMoreBlocks times as many
  HashSeed seed;
  std::int32_t master_pid = 0;
  // Odd while the counters of an ended process move to `retired`; sums taken meanwhile are retried.
  std::atomic<std::uint32_t> retire_version{0};
  std::uint64_t started_wall_ms = 0;
  char boot_id[40] = {};                            // of the kernel, as text
  std::atomic<std::uint64_t> heartbeat_ms{0};       // CLOCK_MONOTONIC, each second
  std::atomic<std::uint32_t> generation{0};         // newest configuration generation
  std::atomic<std::uint32_t> generations_alive{0};  // with at least one process
  std::atomic<std::uint32_t> origins_used{0};
  std::atomic<std::uint32_t> streams_used{0};
  std::atomic<std::uint64_t> reloads{0};
  std::atomic<std::uint64_t> reloads_failed{0};
  std::atomic<std::uint64_t> worker_deaths{0};
  std::atomic<std::uint64_t> generations_ended{0};  // early, to make room for another
  std::atomic<std::uint64_t> streams_refused{0};    // table full
  std::atomic<std::uint64_t> origins_refused{0};    // table full
  std::atomic<std::uint64_t> sessions{0};           // opened and not closed, all workers
  std::atomic<std::uint64_t> stream_conflicts{0};   // streams that were seen at two origins
  std::atomic<std::uint32_t> conflicts_now{0};      // those that still are
  std::atomic<std::uint32_t> streams_learned{0};    // with flag kLearned
  // Origins of names (`origins_from`): how often one was added, left its name, came back.
  std::atomic<std::uint64_t> named_added{0};
  std::atomic<std::uint64_t> named_drained{0};
  std::atomic<std::uint64_t> named_returned{0};
  std::atomic<std::uint64_t> named_waiting{0};  // addresses that have no slot now
  // Slots below these were used once. Those beyond are free and must not even be read: in a file
  // they have no storage, and on a full tmpfs a look at them is a SIGBUS.
  std::atomic<std::uint32_t> origins_mark{0};
  std::atomic<std::uint32_t> streams_mark{0};
  std::atomic<Leaving> leaving{Leaving::kNo};
  std::uint32_t reserved = 0;
  // Counters of processes that have ended, summed when they end, so that totals never go back.
  std::atomic<std::uint64_t> retired[kCountersPerPage] = {};
};

using WorkerSlot = SeqSlot<WorkerRecord>;
using OriginSlot = SeqSlot<OriginRecord>;
using StreamSlot = SeqSlot<StreamHead>;
using Bucket = std::atomic<std::uint32_t>;  // stream slot + 1, 0 = empty; linear probing

}  // namespace weir::ipc
