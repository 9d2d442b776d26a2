#include "workers/core/udp_flows.h"

#include <algorithm>

#include "common/base/clock.h"

namespace weir {

std::uint32_t UdpFlows::add(ipc::FlowRef ref) {
  std::uint32_t index = limit();
  if (free_.empty()) {
    flows_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  UdpFlow& flow = flows_[index];
  const std::uint32_t generation = flow.generation + 1;
  flow = UdpFlow{};
  flow.used = true;
  flow.generation = generation;
  flow.ref = ref;
  by_slot_[ref.slot] = index;
  return index;
}

void UdpFlows::erase(std::uint32_t index) {
  UdpFlow& flow = flows_[index];
  for (std::size_t i = 0; i < flow.path_count; ++i) forget_key(flow.paths[i].key, index);
  by_slot_.erase(flow.ref.slot);
  flow.upstream.reset();
  flow.used = false;
  flow.key = {};
  free_.push_back(index);
}

std::uint32_t UdpFlows::find_slot(std::uint32_t slot) const {
  const auto found = by_slot_.find(slot);
  return found == by_slot_.end() ? kNoFlow : found->second;
}

std::uint32_t UdpFlows::find(ipc::FlowRef ref) const {
  const std::uint32_t index = find_slot(ref.slot);
  return index == kNoFlow || flows_[index].ref != ref ? kNoFlow : index;
}

std::uint32_t UdpFlows::look_up(const ClientKey& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return kNoFlow;
  found_key_ = key;
  return found_flow_ = found->second;
}

// ---- the client's paths

void UdpFlows::forget_key(const ClientKey& key, std::uint32_t index) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end() || found->second != index) return;
  by_key_.erase(found);
  found_flow_ = kNoFlow;
}

void UdpFlows::drop_path(std::uint32_t index, const ClientKey& key) {
  UdpFlow& flow = flows_[index];
  for (std::uint8_t i = 0; i < flow.path_count;) {
    if (flow.paths[i].key != key) {
      ++i;
      continue;
    }
    const std::uint8_t last = --flow.path_count;
    if (flow.current == i) {
      flow.current = kNoPath;
    } else if (flow.current == last) {
      flow.current = i;
    }
    flow.paths[i] = flow.paths[last];
  }
  forget_key(key, index);
}

std::uint8_t UdpFlows::add_path(std::uint32_t index, const ClientPacket& packet) {
  UdpFlow& flow = flows_[index];
  const std::uint64_t now = monotonic_ms();
  std::uint8_t oldest = 0;
  for (std::uint8_t i = 0; i < flow.path_count; ++i) {
    UdpClientPath& path = flow.paths[i];
    if (path.key == packet.key && path.local == packet.local) {
      path.socket = packet.socket;
      path.packet_ms = path.proof_ms = now;
      return i;
    }
    const bool spare = oldest == flow.current || path.packet_ms < flow.paths[oldest].packet_ms;
    if (i != flow.current && spare) oldest = i;
  }
  if (const std::uint32_t other = find(packet.key); other != kNoFlow && other != index) {
    drop_path(other, packet.key);
  }
  std::uint8_t at = flow.path_count;
  if (at < kClientPaths) {
    ++flow.path_count;
  } else {
    at = oldest;
    const ClientKey old = flow.paths[at].key;
    const auto same = std::count_if(flow.paths.begin(), flow.paths.end(),
                                    [&](const UdpClientPath& p) { return p.key == old; });
    if (same == 1) forget_key(old, index);
  }
  flow.paths[at] = {packet.key, packet.local, packet.socket, now, now};
  by_key_[packet.key] = index;
  found_flow_ = kNoFlow;
  return at;
}

}  // namespace weir
