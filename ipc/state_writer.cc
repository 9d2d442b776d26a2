#include "ipc/state_writer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>

#include "common/base/clock.h"
#include "ipc/counters.h"
#include "ipc/probing.h"

namespace weir::ipc {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t round_up(std::uint64_t bytes) {
  return (bytes + kPage - 1) / kPage * kPage;
}
constexpr std::uint32_t kNoBucket = 0xFFFFFFFF;

}  // namespace

Result<StateWriter> StateWriter::make(const Sizes& sizes) {
  StateWriter writer;
  if (auto mapped = writer.map_segments(sizes); !mapped) return tl::unexpected(mapped.error());
  if (auto sealed = writer.seal(); !sealed) return tl::unexpected(sealed.error());
  return writer;
}

Result<void> StateWriter::map_segments(const Sizes& sizes) {
  const std::uint32_t buckets = std::bit_ceil(2 * sizes.streams);
  const std::uint64_t workers_at = round_up(sizeof(StateHeader));
  const std::uint64_t origins_at =
      round_up(workers_at + sizeof(WorkerSlot) * std::uint64_t{sizes.workers});
  const std::uint64_t buckets_at =
      round_up(origins_at + sizeof(OriginSlot) * std::uint64_t{sizes.origins});
  const std::uint64_t streams_at = round_up(buckets_at + sizeof(Bucket) * std::uint64_t{buckets});
  const std::uint64_t total =
      round_up(streams_at + sizeof(StreamSlot) * std::uint64_t{sizes.streams});

  auto state_fd = make_memfd("weir-state", total);
  if (!state_fd) return tl::unexpected(state_fd.error());
  auto state = Mapping::map(state_fd->get(), 0, total, Mapping::Access::kWrite);
  if (!state) return tl::unexpected(state.error());
  auto counters = CounterPages::make(sizes.workers);
  if (!counters) return tl::unexpected(counters.error());
  state_fd_ = std::move(*state_fd);
  state_ = std::move(*state);
  counters_ = std::move(*counters);

  // All-zero memory is a valid table of empty slots; only the header has values to set.
  header_ = new (state_.data()) StateHeader;
  header_->total_bytes = total;
  header_->worker_capacity = sizes.workers;
  header_->origin_capacity = sizes.origins;
  header_->stream_capacity = sizes.streams;
  header_->bucket_count = buckets;
  header_->workers_offset = workers_at;
  header_->origins_offset = origins_at;
  header_->buckets_offset = buckets_at;
  header_->streams_offset = streams_at;
  header_->master_pid = ::getpid();
  header_->started_wall_ms = wall_ms();
  header_->heartbeat_ms = monotonic_ms();
  if (::getrandom(&header_->seed, sizeof header_->seed, 0) != sizeof header_->seed) {
    return fail_errno("no random numbers", errno);
  }
  auto* base = static_cast<std::uint8_t*>(state_.data());
  // The tables lie at page-aligned offsets of the mapping; casting is what a mapping is for.
  workers_ = reinterpret_cast<WorkerSlot*>(base + workers_at);
  origins_ = reinterpret_cast<OriginSlot*>(base + origins_at);
  buckets_ = reinterpret_cast<Bucket*>(base + buckets_at);
  streams_ = reinterpret_cast<StreamSlot*>(base + streams_at);
  return {};
}

Result<void> StateWriter::seal() {
  if (::madvise(state_.data(), state_.size(), MADV_DONTFORK) != 0) {
    return fail_errno("cannot keep shared memory from children", errno);
  }
  constexpr int kSeals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  if (::fcntl(state_fd_.get(), F_ADD_SEALS, kSeals) != 0) {
    return fail_errno("cannot seal shared memory", errno);
  }
  return {};
}

std::uint32_t StateWriter::find_bucket(std::uint64_t hash, std::string_view key) const {
  const std::uint32_t mask = header_->bucket_count - 1;
  StreamRecord record;
  for (std::uint32_t at = home_bucket(hash, mask);; at = (at + 1) & mask) {
    const std::uint32_t value = buckets_[at].load(std::memory_order_relaxed);
    if (value == 0) return kNoBucket;  // always reached: the table is at most half full
    if (streams_[value - 1].read(record) && record.hash == hash && record.key_text() == key) {
      return at;
    }
  }
}

std::uint32_t StateWriter::find_stream(std::string_view key) const {
  const std::uint32_t at = find_bucket(keyed_hash(header_->seed, key), key);
  return at == kNoBucket ? kNoSlot : buckets_[at].load(std::memory_order_relaxed) - 1;
}

std::uint32_t StateWriter::add_stream(std::string_view key, StreamRecord record) {
  std::uint32_t slot = kNoSlot;
  if (!free_streams_.empty()) {
    slot = free_streams_.back();
    free_streams_.pop_back();
  } else if (stream_mark_ < header_->stream_capacity) {
    slot = stream_mark_++;
  } else {
    return kNoSlot;
  }
  record.hash = keyed_hash(header_->seed, key);
  record.key_length = static_cast<std::uint16_t>(key.size());
  std::memcpy(record.key, key.data(), key.size());
  streams_[slot].write(record);
  insert_bucket(buckets(), record.hash, slot + 1);
  header_->streams_used.fetch_add(1, std::memory_order_relaxed);
  return slot;
}

StreamRecord StateWriter::stream(std::uint32_t slot) const {
  StreamRecord record;
  streams_[slot].read(record);  // cannot clash: this process is the writer
  return record;
}

void StateWriter::put_stream(std::uint32_t slot, const StreamRecord& record) {
  streams_[slot].write(record);
}

void StateWriter::erase_stream(std::uint32_t slot) {
  erase_bucket(buckets(), stream(slot).hash, slot + 1,
               [this](std::uint32_t value) { return stream(value - 1).hash; });
  streams_[slot].write(StreamRecord{});
  free_streams_.push_back(slot);
  header_->streams_used.fetch_sub(1, std::memory_order_relaxed);
}

std::uint32_t StateWriter::take_origin(std::uint32_t& generation) {
  std::uint32_t slot = kNoSlot;
  if (!free_origins_.empty()) {
    slot = free_origins_.back();
    free_origins_.pop_back();
  } else if (origin_mark_ < header_->origin_capacity) {
    slot = origin_mark_++;
  } else {
    return kNoSlot;
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
