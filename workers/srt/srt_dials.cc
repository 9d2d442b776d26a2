#include "workers/srt/srt_dials.h"

#include <algorithm>

#include "common/base/network.h"

namespace weir::srt {
namespace {

constexpr std::size_t kShares = 4;

}  // namespace

DialTable::DialTable(HashSeed seed, std::size_t limit)
    : limit_(limit), dials_(0, ClientKeyHash{seed}) {}

DialTable::Room DialTable::room_for(const Endpoint& client) const {
  // Rejected ones, which wait for repetitions, are bounded too.
  if (half_open_ >= limit_ || dials_.size() >= 2 * limit_) return Room::kFull;
  const auto found = shares_.find(address_group(client));
  if (found == shares_.end()) return Room::kYes;
  const std::size_t share = std::max(kShares, limit_ / kShares);
  const bool taken = found->second.half_open >= share || found->second.all >= 2 * share;
  return taken ? Room::kShareTaken : Room::kYes;
}

Dial* DialTable::find(const ClientKey& key) {
  const auto found = dials_.find(key);
  return found == dials_.end() ? nullptr : &found->second;
}

Dial& DialTable::add(const SessionOptions& options, const ClientPacket& packet,
                     std::uint32_t caller_id, std::uint64_t now_ms) {
  const ClientKey key{packet.key.address, caller_id};
  Dial& dial = dials_.try_emplace(key, options, packet, caller_id, now_ms).first->second;
  Share& share = shares_[address_group(key.address)];
  ++share.half_open;
  ++share.all;
  ++half_open_;
  return dial;
}

void DialTable::finish(Dial& dial, std::uint64_t now_ms) {
  await_no_more(dial);
  if (dial.stage == DialStage::kDone) return;
  dial.stage = DialStage::kDone;
  dial.done_ms = now_ms;
  --half_open_;
  --shares_[address_group(dial.key.address)].half_open;
}

void DialTable::remove(Dial& dial) {
  finish(dial, 0);
  unbind_flow(dial);
  take_slot(dial.ref);
  if (dial.due_ms != 0) due_.erase({dial.due_ms, &dial});
  const auto share = shares_.find(address_group(dial.key.address));
  if (share != shares_.end() && --share->second.all == 0) shares_.erase(share);
  dials_.erase(ClientKey(dial.key));
}

void DialTable::clear() {
  due_.clear();
  requests_.clear();
  by_flow_.clear();
  by_slot_.clear();
  shares_.clear();
  dials_.clear();
  half_open_ = 0;
}

void DialTable::await(Dial& dial, DialStage stage, std::uint32_t request) {
  await_no_more(dial);
  dial.stage = stage;
  dial.request = request;
  requests_[request] = &dial;
}

void DialTable::await_no_more(Dial& dial) {
  requests_.erase(dial.request);
  dial.request = 0;
}

Dial* DialTable::answered(std::uint32_t request, DialStage stage) {
  const auto found = requests_.find(request);
  if (found == requests_.end()) return nullptr;
  Dial* dial = found->second;
  await_no_more(*dial);
  return dial->stage == stage ? dial : nullptr;
}

Dial* DialTable::take_slot(ipc::FlowRef flow) {
  const auto found = by_slot_.find(flow.slot);
  if (found == by_slot_.end() || !(found->second->ref == flow)) return nullptr;
  Dial* dial = found->second;
  by_slot_.erase(found);
  return dial;
}

void DialTable::bind_flow(Dial& dial, std::uint32_t flow) {
  dial.flow = flow;
  by_flow_[flow] = &dial;
}

void DialTable::unbind_flow(Dial& dial) {
  const auto found = by_flow_.find(dial.flow);
  if (found != by_flow_.end() && found->second == &dial) by_flow_.erase(found);
  dial.flow = kNoFlow;
}

Dial* DialTable::of_flow(std::uint32_t flow) {
  const auto found = by_flow_.find(flow);
  return found == by_flow_.end() ? nullptr : found->second;
}

void DialTable::schedule(Dial& dial, std::uint64_t due_ms) {
  if (dial.due_ms == due_ms) return;
  if (dial.due_ms != 0) due_.erase({dial.due_ms, &dial});
  dial.due_ms = due_ms;
  due_.emplace(due_ms, &dial);
}

std::optional<std::uint64_t> DialTable::next_due() const {
  if (due_.empty()) return std::nullopt;
  return due_.begin()->first;
}

Dial* DialTable::take_due(std::uint64_t now_ms) {
  if (due_.empty() || due_.begin()->first > now_ms) return nullptr;
  Dial* dial = due_.begin()->second;
  due_.erase(due_.begin());
  dial->due_ms = 0;
  return dial;
}

}  // namespace weir::srt
