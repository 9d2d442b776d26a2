#include "workers/core/udp_claims.h"

#include <algorithm>
#include <utility>

#include "common/base/limits.h"

namespace weir {

bool UdpClaims::full() const {
  return claims_.size() >= limits::kUdpClaims;
}

void UdpClaims::add(std::uint32_t request, ipc::FlowRef ref, const ClientPacket& from, UdpClaim how,
                    std::uint64_t now_ms, bool waits) {
  Claim& claim = claims_[request];
  claim.ref = ref;
  claim.from = from;
  claim.from.bytes = {};
  claim.how = how;
  claim.started_ms = now_ms;
  by_slot_[ref.slot] = request;
  if (!waits) return;
  by_key_[from.key] = request;
  park(from, from.bytes.size());
}

bool UdpClaims::park(const ClientPacket& packet, std::size_t segment) {
  const auto found = by_key_.find(packet.key);
  if (found == by_key_.end()) return false;
  Claim& claim = claims_[found->second];
  for (std::size_t at = 0; at < packet.bytes.size(); at += segment) {
    const ByteView one = packet.bytes.subspan(at, std::min(segment, packet.bytes.size() - at));
    if (claim.bytes + one.size() > limits::kUdpParkedBytes ||
        parked_bytes_ + one.size() > limits::kUdpParkedBytesInAll) {
      counters_.add(dropped_);
      continue;
    }
    claim.parked.emplace_back(one.begin(), one.end());
    claim.bytes += one.size();
    parked_bytes_ += one.size();
    counters_.add(parked_);
  }
  return true;
}

std::optional<UdpClaims::Claim> UdpClaims::take(std::uint32_t request) {
  const auto found = claims_.find(request);
  if (found == claims_.end()) return std::nullopt;
  Claim claim = std::move(found->second);
  claims_.erase(found);
  parked_bytes_ -= claim.bytes;
  by_slot_.erase(claim.ref.slot);
  const auto key = by_key_.find(claim.from.key);
  if (key != by_key_.end() && key->second == request) by_key_.erase(key);
  return claim;
}

std::vector<std::uint32_t> UdpClaims::older_than(std::uint64_t since_ms) const {
  std::vector<std::uint32_t> late;
  for (const auto& [request, claim] : claims_) {
    if (claim.started_ms <= since_ms) late.push_back(request);
  }
  return late;
}

void UdpClaims::clear() {
  claims_.clear();
  by_key_.clear();
  by_slot_.clear();
  parked_bytes_ = 0;
}

}  // namespace weir
