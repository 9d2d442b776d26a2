// StateWriter: makes the state segment and the counter pages, and is the only one that writes the
// former. Owner: the master, which is also the only process whose address space has the writable
// mapping: the mapping is not inherited by a fork, and the seal refuses any later one.
// Not for several threads. Slots given out here are valid until they are freed.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "ipc/counter_pages.h"
#include "ipc/key_blocks.h"
#include "ipc/probing.h"
#include "ipc/shm_layout.h"
#include "ipc/table_memory.h"

namespace weir::ipc {

class StateWriter {
 public:
  struct Sizes {
    std::uint32_t origins = 0;
    std::uint32_t streams = 0;
    std::uint32_t workers = 64;  // at most kMaxWorkers
  };
  static Result<StateWriter> make(const Sizes& sizes);
  // In an empty file, which grows by what is used: its file system may be too full for the rest.
  static Result<StateWriter> make_in_file(const Sizes& sizes, UniqueFd file);

  int state_fd() const { return memory_.reader_fd(); }
  CounterPages& counters() { return counters_; }
  StateHeader& header() { return *header_; }
  const StateHeader& header() const { return *header_; }

  // Streams. add_stream: kNoSlot when the table is full; REQUIRES: a key of 1..kStreamKeyBytes that
  // is not there yet. put_stream must not change the key.
  std::uint32_t find_stream(std::string_view key) const;
  std::uint32_t add_stream(std::string_view key, StreamHead record);
  StreamRecord stream(std::uint32_t slot) const;
  StreamHead stream_head(std::uint32_t slot) const;
  void put_stream(std::uint32_t slot, const StreamHead& record);
  void erase_stream(std::uint32_t slot);

  // Origins. take_origin: kNoSlot when full; `generation` is what the new owner must put in its
  // record. free_origin leaves a record of state kFree, so that no reference means it any more.
  std::uint32_t take_origin(std::uint32_t& generation);
  void put_origin(std::uint32_t slot, const OriginRecord& record) { origins_[slot].write(record); }
  void free_origin(std::uint32_t slot);

  // Workers, with a counter page each. take_worker: kNoSlot when full; the counter page of the slot
  // is zero. free_worker adds the page's counters to header.retired, drops its gauges and zeroes
  // it.
  std::uint32_t take_worker();
  // Makes the pages of so many workers, so that those who are forked next see all of them.
  Result<void> expect_workers(std::size_t count);
  WorkerRecord worker(std::uint32_t slot) const;
  void put_worker(std::uint32_t slot, const WorkerRecord& record) { workers_[slot].write(record); }
  void free_worker(std::uint32_t slot);
  // How often the loop of that process has beaten (ipc/counters.h).
  std::uint64_t worker_beats(std::uint32_t slot) const;

 private:
  StateWriter() = default;
  static Result<StateWriter> make_on(const Sizes& sizes, TableMemory memory);
  bool has_storage(std::uint32_t slot, std::size_t key_length);
  std::uint32_t find_bucket(std::uint64_t hash, std::string_view key) const;
  void write_key(std::uint32_t slot, std::string_view key);
  void free_key(std::uint32_t slot, std::size_t length);
  KeyTable key_table() const {
    return {keys_, (1 + kMoreBlocks) * std::uint64_t{header_->stream_capacity},
            header_->stream_capacity};
  }
  BucketTable buckets() const { return {buckets_, header_->bucket_count}; }

  TableMemory memory_;
  CounterPages counters_;
  RowStorage origin_storage_;
  RowStorage stream_storage_;
  RowStorage key_storage_;
  RowStorage more_storage_;
  StateHeader* header_ = nullptr;
  WorkerSlot* workers_ = nullptr;
  OriginSlot* origins_ = nullptr;
  Bucket* buckets_ = nullptr;
  StreamSlot* streams_ = nullptr;
  KeyBlock* keys_ = nullptr;
  // Slots below the marks (the header has those of rows) were used once; the free ones among them
  // are in the lists.
  std::uint32_t more_mark_ = 0;  // of the key blocks that are shared out
  std::vector<std::uint32_t> free_streams_;
  std::vector<std::uint32_t> free_origins_;
  std::vector<std::uint32_t> free_blocks_;
};

}  // namespace weir::ipc
