#include "ipc/flow_reader.h"

#include <cstddef>
#include <utility>

#include "ipc/probing.h"

namespace weir::ipc {
namespace {

// Both indexes are at most half full, so runs are short.
constexpr std::uint32_t kProbeLimit = 128;
constexpr std::size_t kTextWord = offsetof(FlowRecord, text) / 8;
constexpr std::size_t kBytesWord = kTextWord + offsetof(FlowText, bytes) / 8;
static_assert(offsetof(FlowRecord, text) % 8 == 0 && offsetof(FlowText, bytes) % 8 == 0);

bool fits(std::uint64_t offset, std::uint64_t count, std::size_t size, std::uint64_t total) {
  return offset % 8 == 0 && offset <= total && count <= (total - offset) / size;
}

bool index_fits(std::uint64_t offset, std::uint32_t buckets, const FlowHeader& header) {
  return buckets != 0 && (buckets & (buckets - 1)) == 0 && buckets / 4 >= header.capacity &&
         fits(offset, buckets, sizeof(FlowBucket), header.total_bytes);
}

}  // namespace

bool consistent(const FlowHeader& header, std::uint64_t mapped) {
  return header.total_bytes <= mapped && header.capacity != 0 &&
         header.usernames_offset >= sizeof(FlowHeader) &&
         header.clients_offset >= sizeof(FlowHeader) && header.flows_offset >= sizeof(FlowHeader) &&
         index_fits(header.usernames_offset, header.username_buckets, header) &&
         index_fits(header.clients_offset, header.client_buckets, header) &&
         fits(header.flows_offset, header.capacity, sizeof(FlowSlot), header.total_bytes);
}

Result<FlowView> FlowView::map(int fd) {
  const auto size = file_size(fd);
  if (!size) return tl::unexpected(size.error());
  if (*size < sizeof(FlowHeader)) return fail("session table is too small");
  auto mapping = Mapping::map(fd, 0, static_cast<std::size_t>(*size), Mapping::Access::kRead);
  if (!mapping) return tl::unexpected(mapping.error());
  const auto* base = static_cast<const std::uint8_t*>(mapping->data());
  const auto* header = static_cast<const FlowHeader*>(mapping->data());
  if (header->magic != kFlowMagic) return fail("not a session table of Weir");
  if (header->version != kFlowVersion) {
    return fail("session table has layout version " + std::to_string(header->version) +
                ", this program reads " + std::to_string(kFlowVersion));
  }
  if (!consistent(*header, *size)) return fail("session table has an inconsistent header");
  FlowView view;
  view.segment_ = std::move(*mapping);
  view.header_ = header;
  // The tables lie at checked offsets of the mapping; casting is what a mapping is for.
  view.usernames_ = reinterpret_cast<const FlowBucket*>(base + header->usernames_offset);
  view.clients_ = reinterpret_cast<const FlowBucket*>(base + header->clients_offset);
  view.flows_ = reinterpret_cast<const FlowSlot*>(base + header->flows_offset);
  return view;
}

// Up to the end of the texts and no further.
bool FlowView::read_used(std::uint32_t slot, FlowRecord& out) const {
  return flows_[slot].read_part(
             out, kBytesWord,
             [](const FlowRecord& record) { return kBytesWord + (record.text.used() + 7) / 8; }) &&
         out.state != FlowState::kFree && out.text.valid();
}

template <typename Matches>
std::optional<FlowView::Hit> FlowView::probe(const FlowBucket* buckets, std::uint32_t count,
                                             std::uint64_t hash, FlowRecord& out,
                                             Matches matches) const {
  const std::uint32_t mask = count - 1;
  std::uint32_t at = home_bucket(hash, mask);
  for (std::uint32_t i = 0; i < kProbeLimit; ++i, at = (at + 1) & mask) {
    const std::uint32_t value = buckets[at].load(std::memory_order_acquire);
    if (value == 0) return std::nullopt;
    const std::uint32_t slot = (value - 1) / 2;
    const std::uint32_t which = (value - 1) & 1U;
    if (slot >= header_->capacity || !read_used(slot, out) || !matches(out, which)) continue;
    return Hit{{slot, out.generation}, which};
  }
  return std::nullopt;
}

std::optional<FlowView::Hit> FlowView::find_username(std::string_view username,
                                                     FlowRecord& out) const {
  if (username.empty() || username.size() > limits::kIceUsernameBytes) return std::nullopt;
  return probe(usernames_, header_->username_buckets, keyed_hash(header_->seed, username), out,
               [username](const FlowRecord& record, std::uint32_t which) {
                 return record.get(which == 0 ? FlowField::kUsername
                                              : FlowField::kSecondUsername) == username;
               });
}

std::optional<FlowView::Hit> FlowView::find_client(const Endpoint& client, FlowRecord& out) const {
  return probe(clients_, header_->client_buckets, client_hash(header_->seed, client, 0, 0), out,
               [&client](const FlowRecord& record, std::uint32_t which) {
                 return which == 0 && record.kind == FlowKind::kRtc &&
                        same_endpoint(record.client, client);
               });
}

std::optional<FlowView::Hit> FlowView::find_srt(const Endpoint& client, std::uint32_t listener_id,
                                                FlowRecord& out) const {
  return probe(
      clients_, header_->client_buckets, client_hash(header_->seed, client, listener_id, 0), out,
      [&client, listener_id](const FlowRecord& record, std::uint32_t which) {
        return which == 0 && record.kind == FlowKind::kSrt &&
               record.srt_listener_id == listener_id && same_endpoint(record.client, client);
      });
}

std::optional<FlowView::Hit> FlowView::find_srt_caller(const Endpoint& client,
                                                       std::uint32_t caller_id,
                                                       FlowRecord& out) const {
  auto hit =
      probe(clients_, header_->client_buckets, client_hash(header_->seed, client, caller_id, 1),
            out, [&client, caller_id](const FlowRecord& record, std::uint32_t which) {
              return which == 1 && record.kind == FlowKind::kSrt &&
                     record.srt_caller_id == caller_id && same_endpoint(record.client, client);
            });
  if (hit) hit->which = 0;
  return hit;
}

bool FlowView::read_slot(std::uint32_t slot, FlowRecord& out) const {
  return slot < header_->capacity && slot < header_->mark.load(std::memory_order_acquire) &&
         read_used(slot, out);
}

bool FlowView::read(FlowRef flow, FlowRecord& out) const {
  return read_slot(flow.slot, out) && out.generation == flow.generation;
}

}  // namespace weir::ipc
