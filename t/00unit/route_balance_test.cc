#include "common/route/balance.h"

#include <doctest/doctest.h>

#include <map>
#include <vector>

namespace {

using weir::route::Candidate;
using weir::route::kNobody;
using weir::route::mix;
using weir::route::Policy;

std::vector<Candidate> make(std::vector<std::uint32_t> weights) {
  std::vector<Candidate> all;
  for (std::size_t i = 0; i < weights.size(); ++i)
    all.push_back({mix(i + 1), weights[i], 0, true, 0});
  return all;
}

// A small deterministic generator for properties.
struct Generator {
  std::uint64_t state = 42;
  std::uint64_t next() { return state = mix(state); }
  std::uint64_t below(std::uint64_t n) { return next() % n; }
};

constexpr Policy kPolicies[] = {Policy::kLeastStreams, Policy::kRoundRobin, Policy::kRandom,
                                Policy::kHash};

}  // namespace

TEST_CASE("policies by name") {
  CHECK(weir::route::parse_policy("least_streams") == Policy::kLeastStreams);
  CHECK(weir::route::parse_policy("round_robin") == Policy::kRoundRobin);
  CHECK(weir::route::parse_policy("random") == Policy::kRandom);
  CHECK(weir::route::parse_policy("hash") == Policy::kHash);
  CHECK_FALSE(weir::route::parse_policy("best").has_value());
}

TEST_CASE("every policy picks a usable candidate with weight, or nobody when there is none") {
  Generator random;
  for (int round = 0; round < 4000; ++round) {
    std::vector<Candidate> all;
    bool any = false;
    for (std::uint64_t n = random.below(9); n > 0; --n) {
      Candidate c{random.next(), static_cast<std::uint32_t>(random.below(4)),
                  static_cast<std::uint32_t>(random.below(50)), random.below(3) != 0, 0};
      any = any || (c.usable && c.weight > 0);
      all.push_back(c);
    }
    for (const Policy policy : kPolicies) {
      const std::size_t picked = weir::route::pick(policy, all, random.next(), random.next());
      CHECK((picked != kNobody) == any);
      if (picked == kNobody) continue;
      REQUIRE(picked < all.size());
      CHECK(all[picked].usable);
      CHECK(all[picked].weight > 0);
    }
  }
}

TEST_CASE("least_streams keeps loads in proportion to weights") {
  Generator random;
  for (int round = 0; round < 200; ++round) {
    auto all = make({static_cast<std::uint32_t>(1 + random.below(5)),
                     static_cast<std::uint32_t>(1 + random.below(5)),
                     static_cast<std::uint32_t>(1 + random.below(5))});
    std::uint64_t weights = 0;
    for (const Candidate& c : all) weights += c.weight;
    const std::uint64_t streams = weights * (1 + random.below(40));
    for (std::uint64_t i = 0; i < streams; ++i) {
      ++all[weir::route::pick_least_streams(all, random.next())].load;
    }
    for (const Candidate& c : all) CHECK(c.load == c.weight * streams / weights);
  }
}

TEST_CASE("least_streams spreads equals evenly") {
  Generator random;
  const auto all = make({1, 1, 1});
  std::map<std::size_t, int> hits;
  for (int i = 0; i < 30000; ++i) ++hits[weir::route::pick_least_streams(all, random.next())];
  for (const auto& [index, count] : hits) CHECK(count == doctest::Approx(10000).epsilon(0.05));
}

TEST_CASE("round_robin gives each its weight in every round, and spreads it") {
  auto all = make({5, 1, 1});
  for (int round = 0; round < 5; ++round) {
    std::map<std::size_t, int> hits;
    int row = 0;
    int longest = 0;
    for (int i = 0; i < 7; ++i) {
      const std::size_t picked = weir::route::pick_round_robin(all);
      ++hits[picked];
      row = picked == 0 ? row + 1 : 0;
      longest = std::max(longest, row);
    }
    CHECK(hits[0] == 5);
    CHECK(hits[1] == 1);
    CHECK(hits[2] == 1);
    CHECK(longest < 5);
  }
}

TEST_CASE("random and hash follow the weights") {
  Generator random;
  auto all = make({1, 2, 5, 0});
  std::map<std::size_t, int> by_random;
  std::map<std::size_t, int> by_hash;
  for (int i = 0; i < 80000; ++i) {
    ++by_random[weir::route::pick_random(all, random.next())];
    ++by_hash[weir::route::pick_hash(all, random.next())];
  }
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(by_random[i] == doctest::Approx(10000 * all[i].weight).epsilon(0.06));
    CHECK(by_hash[i] == doctest::Approx(10000 * all[i].weight).epsilon(0.06));
  }
  CHECK(by_random.count(3) == 0);
  CHECK(by_hash.count(3) == 0);
}

TEST_CASE("hash: one that leaves moves only its own keys, and order does not matter") {
  Generator random;
  auto all = make({1, 3, 2, 1});
  for (int i = 0; i < 5000; ++i) {
    const std::uint64_t key = random.next();
    auto rest = all;
    const std::size_t before = weir::route::pick_hash(all, key);
    const std::size_t leaves = static_cast<std::size_t>(random.below(4));
    rest[leaves].usable = false;
    const std::size_t after = weir::route::pick_hash(rest, key);
    if (before != leaves) {
      CHECK(after == before);
    } else {
      CHECK(after != leaves);
    }
    std::vector<Candidate> reversed(all.rbegin(), all.rend());
    CHECK(reversed[weir::route::pick_hash(reversed, key)].id == all[before].id);
  }
}
