#include "workers/core/search_candidates.h"

#include <algorithm>

#include "ipc/origin_walk.h"

namespace weir {

SearchCandidates search_candidates(const ipc::StateView& state, ipc::EndpointKind kind,
                                   std::optional<ipc::OriginRef> without, std::uint64_t turn) {
  SearchCandidates out;
  std::vector<ipc::OriginRef> last;
  ipc::each_origin(state, [&](ipc::OriginRef ref, const ipc::OriginRecord& record) {
    if (!record.takes(kind) || (without && *without == ref)) return;
    (record.learn_state == ipc::LearnState::kFresh ? last : out.origins).push_back(ref);
  });
  const auto rotate = [turn](std::vector<ipc::OriginRef>& origins) {
    if (origins.empty()) return;
    const auto by = static_cast<std::ptrdiff_t>(turn % origins.size());
    std::rotate(origins.begin(), origins.begin() + by, origins.end());
  };
  rotate(out.origins);
  rotate(last);
  out.hopeful = out.origins.size();
  out.origins.insert(out.origins.end(), last.begin(), last.end());
  return out;
}

}  // namespace weir
