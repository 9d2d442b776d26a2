#include "common/route/recent_verdicts.h"

#include <algorithm>

namespace weir::route {

void RecentVerdicts::put(std::string_view name, std::uint64_t verdict, std::uint64_t until_ms) {
  const std::uint64_t hash = keyed_hash(seed_, name);
  Set& set = sets_[hash % kSets];
  auto at = std::find_if(set.begin(), set.end(), [&](const Entry& e) { return e.hash == hash; });
  if (at == set.end()) {
    at = std::min_element(set.begin(), set.end(),
                          [](const Entry& a, const Entry& b) { return a.until_ms < b.until_ms; });
  }
  *at = {hash, verdict, until_ms};
}

std::optional<std::uint64_t> RecentVerdicts::find(std::string_view name,
                                                  std::uint64_t now_ms) const {
  const std::uint64_t hash = keyed_hash(seed_, name);
  for (const Entry& entry : sets_[hash % kSets]) {
    if (entry.hash == hash && now_ms < entry.until_ms) return entry.verdict;
  }
  return std::nullopt;
}

}  // namespace weir::route
