#include "common/base/hash.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

TEST_CASE("the hash depends on the key, on every byte and on the length") {
  const weir::HashSeed seed{1, 2};
  std::set<std::uint64_t> seen;
  std::string text;
  for (int i = 0; i < 300; ++i) {
    CHECK(seen.insert(weir::keyed_hash(seed, text)).second);
    text += '\0';
  }
  const std::string base(40, 'a');
  for (std::size_t i = 0; i < base.size(); ++i) {
    std::string changed = base;
    changed[i] = 'b';
    CHECK(seen.insert(weir::keyed_hash(seed, changed)).second);
  }
  CHECK(weir::keyed_hash({1, 2}, base) == weir::keyed_hash({1, 2}, base));
  CHECK(weir::keyed_hash({1, 3}, base) != weir::keyed_hash({1, 2}, base));
  CHECK(weir::keyed_hash({2, 2}, base) != weir::keyed_hash({1, 2}, base));
}
