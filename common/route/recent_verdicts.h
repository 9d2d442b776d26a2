// RecentVerdicts: what was said about a name a moment ago, in a table of fixed size. Names are kept
// as hashes with a secret seed, so that nobody can choose which of them share a set; where a set is
// full the verdict that ends first is forgotten. Pure; its owner has the clock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/hash.h"

namespace weir::route {

class RecentVerdicts {
 public:
  explicit RecentVerdicts(HashSeed seed) : seed_(seed), sets_(kSets) {}

  void put(std::string_view name, std::uint64_t verdict, std::uint64_t until_ms);
  std::optional<std::uint64_t> find(std::string_view name, std::uint64_t now_ms) const;

 private:
  struct Entry {
    std::uint64_t hash = 0;
    std::uint64_t verdict = 0;
    std::uint64_t until_ms = 0;
  };
  static constexpr std::size_t kWays = 4;
  static constexpr std::size_t kSets = 512;
  using Set = std::array<Entry, kWays>;

  HashSeed seed_;
  std::vector<Set> sets_;
};

}  // namespace weir::route
