// FlowView: the read-only view of the session table that every worker has, with its wait-free
// look-ups. Owner: the process; unmaps at destruction. A read may be stale by one message; a wrong
// "not found" is possible while an index moves (try again with the next packet, or ask the master),
// a wrong "found" is not: what was looked for is compared within the version check.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/result.h"
#include "ipc/flow_table.h"
#include "ipc/mapping.h"

namespace weir::ipc {

class FlowView {
 public:
  struct Hit {
    FlowRef flow;
    std::uint32_t which = 0;  // find_username: the credential set; else 0
  };

  // Maps the segment read-only and checks magic, version and bounds. The descriptor stays the
  // caller's.
  static Result<FlowView> map(int fd);
  FlowView(FlowView&& other) noexcept = default;
  FlowView& operator=(FlowView&&) = delete;

  // By the USERNAME of a STUN request. Hit::which says whose password is the key of its
  // MESSAGE-INTEGRITY: kPassword (0) or kSecondPassword (1).
  std::optional<Hit> find_username(std::string_view username, FlowRecord& out) const;
  // By the proven address of a WebRTC client.
  std::optional<Hit> find_client(const Endpoint& client, FlowRecord& out) const;
  // By an SRT client's address and the destination socket id of its packets (the origin's id).
  std::optional<Hit> find_srt(const Endpoint& client, std::uint32_t listener_id,
                              FlowRecord& out) const;
  // By an SRT client's address and its own socket id: a repeated conclusion.
  std::optional<Hit> find_srt_caller(const Endpoint& client, std::uint32_t caller_id,
                                     FlowRecord& out) const;
  // False: it has ended, or is being written during every try.
  bool read(FlowRef flow, FlowRecord& out) const;
  // Whatever flow lives in the slot, for listings. False: free, busy, or beyond the table.
  bool read_slot(std::uint32_t slot, FlowRecord& out) const;
  const FlowHeader& header() const { return *header_; }

 private:
  FlowView() = default;
  template <typename Matches>
  std::optional<Hit> probe(const FlowBucket* buckets, std::uint32_t count, std::uint64_t hash,
                           FlowRecord& out, Matches matches) const;
  bool read_used(std::uint32_t slot, FlowRecord& out) const;

  Mapping segment_;
  const FlowHeader* header_ = nullptr;
  const FlowBucket* usernames_ = nullptr;
  const FlowBucket* clients_ = nullptr;
  const FlowSlot* flows_ = nullptr;
};

// The tables of a header lie within `mapped` bytes and have the sizes that they claim.
bool consistent(const FlowHeader& header, std::uint64_t mapped);

}  // namespace weir::ipc
