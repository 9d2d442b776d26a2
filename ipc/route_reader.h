// StateView: the read-only view of the shared state that every process but the master has, and the
// wait-free route lookup. Owner: the process; unmaps at destruction. Reads may be stale by one
// message; a wrong "not found" costs a question to the master, a wrong "found" cannot happen (the
// whole key is compared inside the version check).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/result.h"
#include "ipc/key_blocks.h"
#include "ipc/mapping.h"
#include "ipc/shm_layout.h"

namespace weir::ipc {

class StateView {
 public:
  // Maps the segment read-only and checks magic, version and bounds. The descriptor stays the
  // caller's.
  static Result<StateView> map(int fd);
  StateView(StateView&& other) noexcept = default;
  StateView& operator=(StateView&&) = delete;

  // The origin that a client of this role goes to, at an endpoint of this kind, without asking the
  // master: the stream is known, and published there, or its origin takes traffic (and, when
  // draining, still serves the stream).
  std::optional<OriginRef> find_route(std::string_view key, Role role, EndpointKind kind) const;
  // The row of a stream, whatever its origin's state. The slot is its own until it is forgotten.
  bool find_stream(std::string_view key, StreamHead& out) const;
  // It is published, through Weir or as its origin's API shows: StreamHead::is_held().
  bool is_held(std::string_view key) const;
  std::uint32_t find_slot(std::string_view key, StreamHead& out) const;  // kNoSlot: not there
  bool read_stream(std::uint32_t slot, StreamRecord& out) const;         // false: free or busy
  bool read_stream_head(std::uint32_t slot, StreamHead& out) const;      // the same, without key
  bool read_origin(std::uint32_t slot, OriginRecord& out) const;         // false: free or busy
  // The same, and false when the slot now means another origin.
  bool read_origin(OriginRef ref, OriginRecord& out) const;
  // The same for its first members up to the endpoints of this kind, which is all that most dials
  // need; the rest of `out` stays as it was.
  bool read_endpoints(OriginRef ref, EndpointKind kind, OriginRecord& out) const;
  bool read_worker(std::uint32_t slot, WorkerRecord& out) const;  // false: gone or busy
  const StateHeader& header() const { return *header_; }

 private:
  StateView() = default;
  bool has_stream(std::uint32_t slot) const;  // it was used once
  Mapping segment_;
  const StateHeader* header_ = nullptr;
  const WorkerSlot* workers_ = nullptr;
  const OriginSlot* origins_ = nullptr;
  const Bucket* buckets_ = nullptr;
  const StreamSlot* streams_ = nullptr;
  KeyTable keys_;
};

}  // namespace weir::ipc
