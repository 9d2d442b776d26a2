#include "ipc/flow_writer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>

#include "common/base/clock.h"
#include "ipc/boot_id.h"

namespace weir::ipc {
namespace {

struct Layout {
  std::uint32_t buckets;
  std::uint64_t usernames_at;
  std::uint64_t clients_at;
  std::uint64_t flows_at;
  std::uint64_t total;
};
Layout layout_of(std::uint32_t capacity) {
  Layout layout{};
  // Two credential sets, or two socket ids, a flow: half full at most.
  layout.buckets = std::bit_ceil(4 * capacity);
  const std::uint64_t index_bytes = sizeof(FlowBucket) * std::uint64_t{layout.buckets};
  layout.usernames_at = round_up_to_page(sizeof(FlowHeader));
  layout.clients_at = round_up_to_page(layout.usernames_at + index_bytes);
  layout.flows_at = round_up_to_page(layout.clients_at + index_bytes);
  layout.total = round_up_to_page(layout.flows_at + sizeof(FlowSlot) * std::uint64_t{capacity});
  return layout;
}

}  // namespace

Result<FlowWriter> FlowWriter::make(std::uint32_t capacity) {
  auto memory = TableMemory::make("weir-flows", layout_of(capacity).total);
  if (!memory) return tl::unexpected(memory.error());
  return make_on(capacity, std::move(*memory));
}

Result<FlowWriter> FlowWriter::make_in_file(std::uint32_t capacity, UniqueFd file) {
  const Layout layout = layout_of(capacity);
  auto memory = TableMemory::make_in_file(std::move(file), layout.total, layout.flows_at);
  if (!memory) return tl::unexpected(memory.error());
  return make_on(capacity, std::move(*memory));
}

Result<FlowWriter> FlowWriter::make_on(std::uint32_t capacity, TableMemory memory) {
  const Layout layout = layout_of(capacity);
  FlowWriter writer;
  writer.memory_ = std::move(memory);
  writer.storage_ = writer.memory_.rows(layout.flows_at, sizeof(FlowSlot), capacity);
  std::uint8_t* const base = writer.memory_.data();
  // All-zero memory is a valid table of empty slots; only the header has values to set.
  writer.header_ = new (base) FlowHeader;
  FlowHeader& header = *writer.header_;
  header.total_bytes = layout.total;
  header.capacity = capacity;
  header.username_buckets = header.client_buckets = layout.buckets;
  header.usernames_offset = layout.usernames_at;
  header.clients_offset = layout.clients_at;
  header.flows_offset = layout.flows_at;
  header.master_pid = ::getpid();
  header.heartbeat_ms = monotonic_ms();
  read_boot_id().copy(header.boot_id, sizeof header.boot_id - 1);
  HashSeed seed;
  if (::getrandom(&seed, sizeof seed, 0) != sizeof seed) {
    return fail_errno("no random numbers", errno);
  }
  header.seed = seed;
  // The tables lie at page-aligned offsets of the mapping; casting is what a mapping is for.
  writer.usernames_ = reinterpret_cast<FlowBucket*>(base + layout.usernames_at);
  writer.clients_ = reinterpret_cast<FlowBucket*>(base + layout.clients_at);
  writer.flows_ = reinterpret_cast<FlowSlot*>(base + layout.flows_at);
  return writer;
}

std::uint32_t FlowWriter::add(FlowRecord record) {
  std::uint32_t slot = kNoSlot;
  while (slot == kNoSlot && !free_.empty()) {
    if (get(free_.back()).state == FlowState::kFree) slot = free_.back();
    free_.pop_back();
  }
  if (slot == kNoSlot) {
    if (mark() >= header_->capacity || !storage_.has(mark())) return kNoSlot;
    slot = mark();
    set_mark(slot + 1);
  }
  record.generation = get(slot).generation + 1;
  store(slot, record);
  return slot;
}

bool FlowWriter::restore(std::uint32_t slot, const FlowRecord& record) {
  if (slot >= header_->capacity || !storage_.has(slot)) return false;
  if (slot < mark() && get(slot).state != FlowState::kFree) return false;
  for (std::uint32_t each = mark(); each < slot; ++each) free_.push_back(each);
  if (slot >= mark()) set_mark(slot + 1);
  store(slot, record);
  return true;
}

void FlowWriter::set_mark(std::uint32_t mark) {
  keys_.resize(mark);
  header_->mark.store(mark, std::memory_order_release);
}

void FlowWriter::store(std::uint32_t slot, const FlowRecord& record) {
  flows_[slot].write(record);  // before the indexes lead to it
  reindex(slot, keys_of(record));
  count(record, 1);
}

FlowRecord FlowWriter::get(std::uint32_t slot) const {
  FlowRecord record;
  if (slot < mark()) flows_[slot].read(record);  // cannot clash: this process is the writer
  return record;
}

void FlowWriter::put(std::uint32_t slot, const FlowRecord& record) {
  count(get(slot), -1);
  flows_[slot].write(record);
  reindex(slot, keys_of(record));
  count(record, 1);
}

void FlowWriter::erase(std::uint32_t slot) {
  const FlowRecord last = get(slot);
  if (last.state == FlowState::kFree) return;
  count(last, -1);
  reindex(slot, Keys{});
  FlowRecord empty;
  empty.generation = last.generation;
  flows_[slot].write(empty);
  free_.push_back(slot);
}

void FlowWriter::count(const FlowRecord& record, int by) {
  auto& cell = header_->used[static_cast<std::size_t>(record.kind)]
                            [record.state == FlowState::kConnected ? 1 : 0];
  cell.fetch_add(static_cast<std::uint32_t>(by), std::memory_order_relaxed);
}

FlowWriter::Keys FlowWriter::keys_of(const FlowRecord& record) const {
  Keys keys;
  const std::string_view texts[] = {record.get(FlowField::kUsername),
                                    record.get(FlowField::kSecondUsername)};
  for (std::size_t which = 0; which < 2; ++which) {
    if (texts[which].empty()) continue;
    keys.usernames[which] = keyed_hash(header_->seed, texts[which]);
    keys.usernames_present |= static_cast<std::uint8_t>(1U << which);
  }
  if (record.client.empty()) return keys;
  const bool srt = record.kind == FlowKind::kSrt;
  const std::uint32_t ids[] = {srt ? record.srt_listener_id : 0, srt ? record.srt_caller_id : 0};
  for (std::uint32_t which = 0; which < 2; ++which) {
    if (ids[which] == 0 && (srt || which == 1)) continue;
    keys.clients[which] = client_hash(header_->seed, record.client, ids[which], which);
    keys.clients_present |= static_cast<std::uint8_t>(1U << which);
  }
  return keys;
}

void FlowWriter::reindex(std::uint32_t slot, const Keys& next) {
  const auto bring_in_line = [&, this](BucketTable table, auto hashes, auto present) {
    Keys& now = keys_[slot];
    for (std::uint32_t which = 0; which < 2; ++which) {
      const bool had = ((now.*present >> which) & 1U) != 0;
      const bool has = ((next.*present >> which) & 1U) != 0;
      const std::uint64_t next_hash = (next.*hashes)[which];
      if (had == has && (!has || (now.*hashes)[which] == next_hash)) continue;
      const std::uint32_t value = 2 * slot + which + 1;
      if (had) {
        erase_bucket(table, (now.*hashes)[which], value, [this, hashes](std::uint32_t other) {
          return (keys_[(other - 1) / 2].*hashes)[(other - 1) & 1U];
        });
      }
      (now.*hashes)[which] = next_hash;
      if (has) insert_bucket(table, next_hash, value);
    }
    now.*present = next.*present;
  };
  bring_in_line(usernames(), &Keys::usernames, &Keys::usernames_present);
  bring_in_line(clients(), &Keys::clients, &Keys::clients_present);
}

std::uint32_t FlowWriter::find(FlowRef flow) const {
  if (flow.slot >= mark()) return kNoSlot;
  const FlowRecord record = get(flow.slot);
  return record.state != FlowState::kFree && record.generation == flow.generation ? flow.slot
                                                                                  : kNoSlot;
}

std::uint32_t FlowWriter::find_username(std::string_view username) const {
  const std::uint32_t mask = header_->username_buckets - 1;
  std::uint32_t at = home_bucket(keyed_hash(header_->seed, username), mask);
  for (;; at = (at + 1) & mask) {
    const std::uint32_t value = usernames_[at].load(std::memory_order_relaxed);
    if (value == 0) return kNoSlot;
    const std::uint32_t slot = (value - 1) / 2;
    const FlowField field =
        ((value - 1) & 1U) == 0 ? FlowField::kUsername : FlowField::kSecondUsername;
    if (get(slot).get(field) == username) return slot;
  }
}

std::uint32_t FlowWriter::find_client(const Endpoint& client, std::uint32_t srt_id,
                                      std::uint32_t which) const {
  const std::uint32_t mask = header_->client_buckets - 1;
  const std::uint64_t hash = client_hash(header_->seed, client, srt_id, which);
  for (std::uint32_t at = home_bucket(hash, mask);; at = (at + 1) & mask) {
    const std::uint32_t value = clients_[at].load(std::memory_order_relaxed);
    if (value == 0) return kNoSlot;
    const std::uint32_t slot = (value - 1) / 2;
    if (((value - 1) & 1U) != which || keys_[slot].clients[which] != hash) continue;
    if (same_endpoint(get(slot).client, client)) return slot;
  }
}

}  // namespace weir::ipc
