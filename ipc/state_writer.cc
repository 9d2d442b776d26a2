#include "ipc/state_writer.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>

#include "common/base/clock.h"
#include "ipc/boot_id.h"
#include "ipc/counters.h"
#include "ipc/probing.h"

namespace weir::ipc {
namespace {

constexpr std::uint32_t kNoBucket = 0xFFFFFFFF;

// What a file gets storage for at once lies before the origins.
struct Layout {
  std::uint32_t buckets;
  std::uint64_t workers_at;
  std::uint64_t buckets_at;
  std::uint64_t origins_at;
  std::uint64_t streams_at;
  std::uint64_t keys_at;
  std::uint64_t total;
};
Layout layout_of(const StateWriter::Sizes& sizes) {
  Layout layout{};
  const std::uint64_t streams = sizes.streams;
  layout.buckets = std::bit_ceil(2 * sizes.streams);
  layout.workers_at = round_up_to_page(sizeof(StateHeader));
  layout.buckets_at =
      round_up_to_page(layout.workers_at + sizeof(WorkerSlot) * std::uint64_t{sizes.workers});
  layout.origins_at =
      round_up_to_page(layout.buckets_at + sizeof(Bucket) * std::uint64_t{layout.buckets});
  layout.streams_at =
      round_up_to_page(layout.origins_at + sizeof(OriginSlot) * std::uint64_t{sizes.origins});
  layout.keys_at = round_up_to_page(layout.streams_at + sizeof(StreamSlot) * streams);
  layout.total = round_up_to_page(layout.keys_at + sizeof(KeyBlock) * (1 + kMoreBlocks) * streams);
  return layout;
}

}  // namespace

Result<StateWriter> StateWriter::make(const Sizes& sizes) {
  auto memory = TableMemory::make("weir-state", layout_of(sizes).total);
  if (!memory) return tl::unexpected(memory.error());
  return make_on(sizes, std::move(*memory));
}

Result<StateWriter> StateWriter::make_in_file(const Sizes& sizes, UniqueFd file) {
  const Layout layout = layout_of(sizes);
  auto memory = TableMemory::make_in_file(std::move(file), layout.total, layout.origins_at);
  if (!memory) return tl::unexpected(memory.error());
  return make_on(sizes, std::move(*memory));
}

Result<StateWriter> StateWriter::make_on(const Sizes& sizes, TableMemory memory) {
  const Layout layout = layout_of(sizes);
  const std::uint64_t streams = sizes.streams;
  auto counters = CounterPages::make(sizes.workers);
  if (!counters) return tl::unexpected(counters.error());
  StateWriter writer;
  writer.memory_ = std::move(memory);
  writer.counters_ = std::move(*counters);
  writer.origin_storage_ =
      writer.memory_.rows(layout.origins_at, sizeof(OriginSlot), sizes.origins);
  writer.stream_storage_ = writer.memory_.rows(layout.streams_at, sizeof(StreamSlot), streams);
  writer.key_storage_ = writer.memory_.rows(layout.keys_at, sizeof(KeyBlock), streams);
  writer.more_storage_ = writer.memory_.rows(layout.keys_at + sizeof(KeyBlock) * streams,
                                             sizeof(KeyBlock), kMoreBlocks * streams);

  // All-zero memory is a valid table of empty slots; only the header has values to set.
  std::uint8_t* const base = writer.memory_.data();
  writer.header_ = new (base) StateHeader;
  StateHeader& header = *writer.header_;
  header.total_bytes = layout.total;
  header.worker_capacity = sizes.workers;
  header.origin_capacity = sizes.origins;
  header.stream_capacity = sizes.streams;
  header.bucket_count = layout.buckets;
  header.workers_offset = layout.workers_at;
  header.origins_offset = layout.origins_at;
  header.buckets_offset = layout.buckets_at;
  header.streams_offset = layout.streams_at;
  header.keys_offset = layout.keys_at;
  header.master_pid = ::getpid();
  header.started_wall_ms = wall_ms();
  header.heartbeat_ms = monotonic_ms();
  read_boot_id().copy(header.boot_id, sizeof header.boot_id - 1);
  HashSeed seed;
  if (::getrandom(&seed, sizeof seed, 0) != sizeof seed) {
    return fail_errno("no random numbers", errno);
  }
  header.seed = seed;
  // The tables lie at page-aligned offsets of the mapping; casting is what a mapping is for.
  writer.workers_ = reinterpret_cast<WorkerSlot*>(base + layout.workers_at);
  writer.origins_ = reinterpret_cast<OriginSlot*>(base + layout.origins_at);
  writer.buckets_ = reinterpret_cast<Bucket*>(base + layout.buckets_at);
  writer.streams_ = reinterpret_cast<StreamSlot*>(base + layout.streams_at);
  writer.keys_ = reinterpret_cast<KeyBlock*>(base + layout.keys_at);
  return writer;
}

std::uint32_t StateWriter::find_bucket(std::uint64_t hash, std::string_view key) const {
  const std::uint32_t mask = header_->bucket_count - 1;
  StreamHead head;
  for (std::uint32_t at = home_bucket(hash, mask);; at = (at + 1) & mask) {
    const std::uint32_t value = buckets_[at].load(std::memory_order_relaxed);
    if (value == 0) return kNoBucket;  // always reached: the table is at most half full
    if (streams_[value - 1].read(head) && head.hash == hash &&
        same_key(key_table(), value - 1, head.key_length, key)) {
      return at;
    }
  }
}

std::uint32_t StateWriter::find_stream(std::string_view key) const {
  const std::uint32_t at = find_bucket(keyed_hash(header_->seed, key), key);
  return at == kNoBucket ? kNoSlot : buckets_[at].load(std::memory_order_relaxed) - 1;
}

bool StateWriter::has_storage(std::uint32_t slot, std::size_t key_length) {
  const std::uint64_t more = kMoreBlocks * std::uint64_t{header_->stream_capacity};
  return stream_storage_.has(slot) && key_storage_.has(slot) &&
         (key_length <= KeyBlock::kBytes ||
          more_storage_.has(std::min<std::uint64_t>(more_mark_ + kMoreBlocks, more) - 1));
}

std::uint32_t StateWriter::add_stream(std::string_view key, StreamHead record) {
  const bool again = !free_streams_.empty();
  const std::uint32_t slot =
      again ? free_streams_.back() : header_->streams_mark.load(std::memory_order_relaxed);
  if (slot == header_->stream_capacity || !has_storage(slot, key.size())) return kNoSlot;
  if (again) {
    free_streams_.pop_back();
  } else {
    header_->streams_mark.store(slot + 1, std::memory_order_release);
  }
  record.hash = keyed_hash(header_->seed, key);
  record.key_length = static_cast<std::uint16_t>(key.size());
  write_key(slot, key);
  streams_[slot].write(record);
  insert_bucket(buckets(), record.hash, slot + 1);
  header_->streams_used.fetch_add(1, std::memory_order_relaxed);
  return slot;
}

// There are enough for any keys: kMoreBlocks for each slot.
void StateWriter::write_key(std::uint32_t slot, std::string_view key) {
  // Whoever still reads the slot's key before sees, with any word of this one, that the slot was
  // freed.
  std::atomic_thread_fence(std::memory_order_release);
  std::uint32_t block = slot;
  for (;;) {
    const std::string_view piece = key.substr(0, KeyBlock::kBytes);
    key.remove_prefix(piece.size());
    std::uint32_t next = 0;
    if (!key.empty() && !free_blocks_.empty()) {
      next = free_blocks_.back();
      free_blocks_.pop_back();
    } else if (!key.empty()) {
      next = ++more_mark_;
    }
    std::array<char, sizeof(KeyBlock)> bytes{};
    std::memcpy(bytes.data(), piece.data(), piece.size());
    std::memcpy(bytes.data() + KeyBlock::kBytes, &next, sizeof next);
    const auto words = std::bit_cast<std::array<std::uint64_t, KeyBlock::kWords>>(bytes);
    for (std::size_t i = 0; i < words.size(); ++i) {
      keys_[block].words[i].store(words[i], std::memory_order_relaxed);
    }
    if (next == 0) return;
    block = header_->stream_capacity + next - 1;
  }
}

// REQUIRES: the slot's record is free.
void StateWriter::free_key(std::uint32_t slot, std::size_t length) {
  for (std::uint32_t block = slot; length > KeyBlock::kBytes; length -= KeyBlock::kBytes) {
    const std::uint32_t next = next_block(keys_[block]);
    free_blocks_.push_back(next);
    block = header_->stream_capacity + next - 1;
  }
}

StreamRecord StateWriter::stream(std::uint32_t slot) const {
  StreamRecord record;
  streams_[slot].read(record);  // cannot clash: this process is the writer
  read_key(key_table(), slot, record.key_length, record.key);
  return record;
}

StreamHead StateWriter::stream_head(std::uint32_t slot) const {
  StreamHead head;
  streams_[slot].read(head);
  return head;
}

void StateWriter::put_stream(std::uint32_t slot, const StreamHead& record) {
  streams_[slot].write(record);
}

void StateWriter::erase_stream(std::uint32_t slot) {
  const StreamHead head = stream_head(slot);
  erase_bucket(buckets(), head.hash, slot + 1,
               [this](std::uint32_t value) { return stream_head(value - 1).hash; });
  streams_[slot].write(StreamHead{});
  free_key(slot, head.key_length);
  free_streams_.push_back(slot);
  header_->streams_used.fetch_sub(1, std::memory_order_relaxed);
}

std::uint32_t StateWriter::take_origin(std::uint32_t& generation) {
  const bool again = !free_origins_.empty();
  const std::uint32_t slot =
      again ? free_origins_.back() : header_->origins_mark.load(std::memory_order_relaxed);
  if (slot == header_->origin_capacity || !origin_storage_.has(slot)) return kNoSlot;
  if (again) {
    free_origins_.pop_back();
  } else {
    header_->origins_mark.store(slot + 1, std::memory_order_release);
  }
  OriginRecord last;
  origins_[slot].read(last);
  generation = last.generation + 1;
  header_->origins_used.fetch_add(1, std::memory_order_relaxed);
  return slot;
}

void StateWriter::free_origin(std::uint32_t slot) {
  OriginRecord last;
  origins_[slot].read(last);
  OriginRecord empty;
  empty.generation = last.generation;
  origins_[slot].write(empty);
  free_origins_.push_back(slot);
  header_->origins_used.fetch_sub(1, std::memory_order_relaxed);
}

std::uint32_t StateWriter::take_worker() {
  for (std::uint32_t slot = 0; slot < header_->worker_capacity; ++slot) {
    if (worker(slot).state != WorkerState::kGone) continue;
    return expect_workers(slot + 1) ? slot : kNoSlot;
  }
  return kNoSlot;
}

Result<void> StateWriter::expect_workers(std::size_t count) {
  return counters_.grow(
      static_cast<std::uint32_t>(std::min<std::size_t>(count, header_->worker_capacity)));
}

WorkerRecord StateWriter::worker(std::uint32_t slot) const {
  WorkerRecord record;
  workers_[slot].read(record);
  return record;
}

void StateWriter::free_worker(std::uint32_t slot) {
  CounterCell* page = counters_.page(slot);
  const auto metrics = metric_table();
  header_->retire_version.fetch_add(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    const std::uint64_t value = page[i].exchange(0, std::memory_order_relaxed);
    if (metrics[i].kind == MetricKind::kCounter) {
      header_->retired[i].fetch_add(value, std::memory_order_relaxed);
    }
  }
  page[kBeatCell].store(0, std::memory_order_relaxed);
  workers_[slot].write(WorkerRecord{});
  header_->retire_version.fetch_add(1, std::memory_order_release);
}

std::uint64_t StateWriter::worker_beats(std::uint32_t slot) const {
  return counters_.page(slot)[kBeatCell].load(std::memory_order_relaxed);
}

}  // namespace weir::ipc
