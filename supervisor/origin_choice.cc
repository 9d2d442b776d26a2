#include "supervisor/origin_choice.h"

#include <algorithm>

namespace weir {

using ipc::OriginRef;
using ipc::OriginState;

bool failed_here(const ipc::RouteRequest& request, OriginRef ref) {
  const std::size_t count = std::min<std::size_t>(request.failed_count, ipc::kMaxFailed);
  return std::find(request.failed, request.failed + count, ref) != request.failed + count;
}

void OriginChoice::apply(const Config& config) {
  policy_ = route::parse_policy(config.balance.policy).value_or(route::Policy::kLeastStreams);
}

OriginRef OriginChoice::choose(const ipc::RouteRequest& request) {
  // Whoever a service that has ended left is asked only if nobody is known to be there, and the
  // default backend only if no other can take the stream.
  enum class Round : std::uint8_t { kProven, kUnproven, kDefault };
  for (const Round round : {Round::kProven, Round::kUnproven, Round::kDefault}) {
    candidates_.clear();
    candidate_slots_.clear();
    for (const std::uint32_t slot : origins_.used()) {
      const Origins::Origin& origin = origins_.at(slot);
      const ipc::OriginRecord& record = origin.record;
      const Round its = origin.is_default ? Round::kDefault
                        : record.unproven ? Round::kUnproven
                                          : Round::kProven;
      if (its != round || !record.takes(request.protocol) || record.draining ||
          failed_here(request, origins_.ref_of(slot))) {
        continue;
      }
      candidates_.push_back({origin.id, record.weight, record.streams, true, origin.credit});
      candidate_slots_.push_back(slot);
    }
    random_ = route::mix(random_);
    const std::size_t picked =
        route::pick(policy_, candidates_, keyed_hash(HashSeed{}, request.key.view()), random_);
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      origins_.at(candidate_slots_[i]).credit = candidates_[i].credit;
    }
    if (picked != route::kNobody) return origins_.ref_of(candidate_slots_[picked]);
  }
  return choose_ejected(request);
}

// Nobody is up: rather than refuse the client, try the one whose ejection ends first.
OriginRef OriginChoice::choose_ejected(const ipc::RouteRequest& request) const {
  const auto until = [&](std::uint32_t slot) {
    const auto kind = static_cast<std::size_t>(request.protocol);
    return origins_.at(slot).record.endpoint[kind].health.ejected_until_ms;
  };
  std::uint32_t best = ipc::kNoSlot;
  for (const std::uint32_t slot : origins_.used()) {
    const ipc::OriginRecord& record = origins_.at(slot).record;
    if (record.state != OriginState::kUp || record.draining || record.weight == 0 ||
        !record.has(request.protocol) || failed_here(request, origins_.ref_of(slot))) {
      continue;
    }
    if (best == ipc::kNoSlot || until(slot) < until(best)) best = slot;
  }
  return best == ipc::kNoSlot ? OriginRef{} : origins_.ref_of(best);
}

}  // namespace weir
