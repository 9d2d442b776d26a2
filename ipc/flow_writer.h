// FlowWriter: makes the session table of WebRTC and SRT and is the only one that writes it. Owner:
// the master, which is also the only process whose address space has the writable mapping: it is
// not inherited by a fork; workers get a descriptor that is open for reading. Not for several
// threads. Errors: Result with the system's reason; a full table is kNoSlot.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "ipc/flow_table.h"
#include "ipc/probing.h"
#include "ipc/table_memory.h"

namespace weir::ipc {

class FlowWriter {
 public:
  FlowWriter() = default;  // no table: only to be assigned to
  // In memory without a name. REQUIRES: capacity of 1 to kMaxFlows.
  static Result<FlowWriter> make(std::uint32_t capacity);
  // In an empty file, which grows by what is used: its file system may be too full for the rest.
  static Result<FlowWriter> make_in_file(std::uint32_t capacity, UniqueFd file);

  int reader_fd() const { return memory_.reader_fd(); }
  FlowHeader& header() { return *header_; }
  const FlowHeader& header() const { return *header_; }
  std::uint32_t capacity() const { return header_->capacity; }

  // Puts the record into a free slot and the indexes; the record's generation is set. kNoSlot: the
  // table is full. REQUIRES: a state other than kFree, valid texts.
  std::uint32_t add(FlowRecord record);
  // The same into just this slot, with the record's own generation. False: out of range or taken.
  bool restore(std::uint32_t slot, const FlowRecord& record);
  // A free slot's record has the state kFree. REQUIRES: slot < capacity().
  FlowRecord get(std::uint32_t slot) const;
  // Replaces the record of a used slot and brings the indexes in line with it.
  void put(std::uint32_t slot, const FlowRecord& record);
  void erase(std::uint32_t slot);

  // The slot of a live flow that the reference means, else kNoSlot.
  std::uint32_t find(FlowRef flow) const;
  std::uint32_t find_username(std::string_view username) const;
  // Who has this client in the index: as client_hash() has it.
  std::uint32_t find_client(const Endpoint& client, std::uint32_t srt_id,
                            std::uint32_t which) const;

 private:
  // What stands in the indexes for a slot. `hash` counts only where `present` says so.
  struct Keys {
    std::array<std::uint64_t, 2> usernames{};
    std::array<std::uint64_t, 2> clients{};
    std::uint8_t usernames_present = 0;  // bit per `which`
    std::uint8_t clients_present = 0;
  };

  static Result<FlowWriter> make_on(std::uint32_t capacity, TableMemory memory);
  std::uint32_t mark() const { return header_->mark.load(std::memory_order_relaxed); }
  void set_mark(std::uint32_t mark);
  void store(std::uint32_t slot, const FlowRecord& record);
  Keys keys_of(const FlowRecord& record) const;
  void reindex(std::uint32_t slot, const Keys& next);
  BucketTable usernames() const { return {usernames_, header_->username_buckets}; }
  BucketTable clients() const { return {clients_, header_->client_buckets}; }
  void count(const FlowRecord& record, int by);

  TableMemory memory_;
  FlowHeader* header_ = nullptr;
  FlowBucket* usernames_ = nullptr;
  FlowBucket* clients_ = nullptr;
  FlowSlot* flows_ = nullptr;
  std::vector<Keys> keys_;           // of slots below the mark
  std::vector<std::uint32_t> free_;  // slots below the mark that are free; may name taken ones
  RowStorage storage_;               // of the slots
};

inline constexpr std::uint32_t kMaxFlows = 1U << 20;

}  // namespace weir::ipc
