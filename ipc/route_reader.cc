#include "ipc/route_reader.h"

#include <cstddef>
#include <utility>

#include "ipc/mapping.h"
#include "ipc/probing.h"

namespace weir::ipc {
namespace {

// Longest run of buckets a reader looks at; the table is at most half full, so runs are short. What
// lies beyond is a question to the master.
constexpr std::uint32_t kProbeLimit = 128;

// What a look-up reads of an origin: up to its endpoint counts.
constexpr std::size_t kOriginWords = 2;
static_assert(offsetof(OriginRecord, endpoints) == kOriginWords * 8);

bool fits(std::uint64_t offset, std::uint64_t count, std::size_t size, std::uint64_t total) {
  return offset % 8 == 0 && offset <= total && count <= (total - offset) / size;
}

bool consistent(const StateHeader& header, std::uint64_t mapped) {
  const std::uint32_t buckets = header.bucket_count;
  return header.total_bytes <= mapped && buckets != 0 && (buckets & (buckets - 1)) == 0 &&
         buckets / 2 >= header.stream_capacity && header.worker_capacity <= kMaxWorkers &&
         fits(header.workers_offset, header.worker_capacity, sizeof(WorkerSlot),
              header.total_bytes) &&
         fits(header.origins_offset, header.origin_capacity, sizeof(OriginSlot),
              header.total_bytes) &&
         fits(header.buckets_offset, buckets, sizeof(Bucket), header.total_bytes) &&
         fits(header.streams_offset, header.stream_capacity, sizeof(StreamSlot),
              header.total_bytes) &&
         fits(header.keys_offset, (1 + kMoreBlocks) * std::uint64_t{header.stream_capacity},
              sizeof(KeyBlock), header.total_bytes);
}

// A session of this role may join without the master's word. While somebody publishes the stream it
// is there and nowhere else, whatever the origin's health.
bool serves(const OriginRecord& origin, const StreamHead& stream, Role role, EndpointKind kind) {
  if (stream.is_held()) return origin.has(kind);
  if (!origin.takes(kind)) return false;
  return !origin.draining || (role == Role::kPlayer && stream.players > 0);
}

}  // namespace

Result<StateView> StateView::map(int fd) {
  const auto size = file_size(fd);
  if (!size) return tl::unexpected(size.error());
  if (*size < sizeof(StateHeader)) return fail("state segment is too small");
  auto mapping = Mapping::map(fd, 0, static_cast<std::size_t>(*size), Mapping::Access::kRead);
  if (!mapping) return tl::unexpected(mapping.error());
  const auto* base = static_cast<const std::uint8_t*>(mapping->data());
  const auto* header = static_cast<const StateHeader*>(mapping->data());
  if (header->magic != kStateMagic) return fail("not a state segment of Weir");
  if (header->version != kStateVersion) {
    return fail("state segment has layout version " + std::to_string(header->version) +
                ", this program reads " + std::to_string(kStateVersion));
  }
  if (!consistent(*header, *size)) return fail("state segment has an inconsistent header");
  StateView view;
  view.segment_ = std::move(*mapping);
  view.header_ = header;
  // The tables lie at checked offsets of the mapping; casting is what a mapping is for.
  view.workers_ = reinterpret_cast<const WorkerSlot*>(base + header->workers_offset);
  view.origins_ = reinterpret_cast<const OriginSlot*>(base + header->origins_offset);
  view.buckets_ = reinterpret_cast<const Bucket*>(base + header->buckets_offset);
  view.streams_ = reinterpret_cast<const StreamSlot*>(base + header->streams_offset);
  view.keys_ = {reinterpret_cast<const KeyBlock*>(base + header->keys_offset),
                (1 + kMoreBlocks) * std::uint64_t{header->stream_capacity},
                header->stream_capacity};
  return view;
}

std::uint32_t StateView::find_slot(std::string_view key, StreamHead& out) const {
  if (key.empty() || key.size() > limits::kStreamKeyBytes) return kNoSlot;
  const std::uint64_t hash = keyed_hash(header_->seed, key);
  const std::uint32_t mask = header_->bucket_count - 1;
  std::uint32_t at = home_bucket(hash, mask);
  for (std::uint32_t i = 0; i < kProbeLimit; ++i, at = (at + 1) & mask) {
    const std::uint32_t value = buckets_[at].load(std::memory_order_acquire);
    if (value == 0) return kNoSlot;
    if (value > header_->stream_capacity) continue;
    bool same = false;
    const bool whole = streams_[value - 1].read_with(out, [&](const StreamHead& head) {
      same = head.hash == hash && same_key(keys_, value - 1, head.key_length, key);
    });
    if (whole && same) return value - 1;
  }
  return kNoSlot;
}

bool StateView::find_stream(std::string_view key, StreamHead& out) const {
  return find_slot(key, out) != kNoSlot;
}

bool StateView::is_held(std::string_view key) const {
  StreamHead stream;
  return find_stream(key, stream) && stream.is_held();
}

std::optional<OriginRef> StateView::find_route(std::string_view key, Role role,
                                               EndpointKind kind) const {
  StreamHead stream;
  if (find_slot(key, stream) == kNoSlot) return std::nullopt;
  const OriginRef ref = origin_of(stream);
  OriginRecord origin;
  if (ref.slot >= header_->origin_capacity ||
      !origins_[ref.slot].read_part(origin, kOriginWords,
                                    [](const auto&) { return kOriginWords; }) ||
      origin.generation != ref.generation || !serves(origin, stream, role, kind)) {
    return std::nullopt;
  }
  return ref;
}

bool StateView::has_stream(std::uint32_t slot) const {
  return slot < header_->stream_capacity &&
         slot < header_->streams_mark.load(std::memory_order_acquire);
}

bool StateView::read_stream(std::uint32_t slot, StreamRecord& out) const {
  if (!has_stream(slot)) return false;
  bool has_key = false;
  const bool whole = streams_[slot].read_with(out, [&](const StreamHead& head) {
    has_key = head.key_length != 0 && read_key(keys_, slot, head.key_length, out.key);
  });
  return whole && has_key;
}

bool StateView::read_stream_head(std::uint32_t slot, StreamHead& out) const {
  return has_stream(slot) && streams_[slot].read(out) && out.key_length != 0;
}

bool StateView::read_origin(std::uint32_t slot, OriginRecord& out) const {
  return slot < header_->origin_capacity &&
         slot < header_->origins_mark.load(std::memory_order_acquire) && origins_[slot].read(out) &&
         out.state != OriginState::kFree;
}

bool StateView::read_origin(OriginRef ref, OriginRecord& out) const {
  return read_origin(ref.slot, out) && out.generation == ref.generation;
}

bool StateView::read_endpoints(OriginRef ref, EndpointKind kind, OriginRecord& out) const {
  constexpr std::size_t kBytesEach = sizeof out.endpoints[0];
  const std::size_t bytes =
      offsetof(OriginRecord, endpoints) + (static_cast<std::size_t>(kind) + 1) * kBytesEach;
  const std::size_t words = (bytes + 7) / 8;
  return ref.slot < header_->origin_capacity &&
         origins_[ref.slot].read_part(out, words, [words](const auto&) { return words; }) &&
         out.state != OriginState::kFree && out.generation == ref.generation;
}

bool StateView::read_worker(std::uint32_t slot, WorkerRecord& out) const {
  return slot < header_->worker_capacity && workers_[slot].read(out) &&
         out.state != WorkerState::kGone;
}

}  // namespace weir::ipc
