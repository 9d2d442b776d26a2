#include "supervisor/origin_index.h"

#include "ipc/shm_layout.h"

namespace weir {
namespace {

using Map = std::unordered_multimap<std::string, std::uint32_t>;

void drop(Map& map, const std::string& key, std::uint32_t slot) {
  auto [at, end] = map.equal_range(key);
  for (; at != end; ++at) {
    if (at->second != slot) continue;
    map.erase(at);
    return;
  }
}

}  // namespace

void OriginIndex::add(std::uint32_t slot, const Keys& keys) {
  if (!keys.server.empty()) by_server_.emplace(keys.server, slot);
  for (const std::string& key : keys.endpoints) by_endpoint_.emplace(key, slot);
}

void OriginIndex::remove(std::uint32_t slot, const Keys& keys) {
  if (!keys.server.empty()) drop(by_server_, keys.server, slot);
  for (const std::string& key : keys.endpoints) drop(by_endpoint_, key, slot);
}

std::vector<std::uint32_t> OriginIndex::of_server(const std::string& server) const {
  std::vector<std::uint32_t> slots;
  const auto [begin, end] = by_server_.equal_range(server);
  for (auto at = begin; at != end; ++at) slots.push_back(at->second);
  return slots;
}

std::uint32_t OriginIndex::of_endpoint(const std::string& endpoint) const {
  const auto found = by_endpoint_.find(endpoint);
  return found == by_endpoint_.end() ? ipc::kNoSlot : found->second;
}

}  // namespace weir
