// Balancing: which of some candidates gets a new stream (DESIGN section 6). Pure functions over a
// span; randomness comes in as a value. Property-tested in t/00unit/route_balance_test.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace weir::route {

enum class Policy : std::uint8_t { kLeastStreams, kRoundRobin, kRandom, kHash };
std::optional<Policy> parse_policy(std::string_view text);

struct Candidate {
  std::uint64_t id = 0;      // hash of the name: stable over restarts and table slots
  std::uint32_t weight = 1;  // 0: never picked
  std::uint32_t load = 0;    // streams that it has now
  bool usable = true;
  std::int64_t credit = 0;  // state of round_robin, kept by the caller between the picks
};

inline constexpr std::size_t kNobody = static_cast<std::size_t>(-1);

// Each returns an index into the span, or kNobody when no usable candidate has a weight.

// The least load for its weight once it has taken one more; equals are told apart by `random`, so
// that they share evenly.
std::size_t pick_least_streams(std::span<const Candidate> candidates, std::uint64_t random);
// Smooth weighted round robin: of any W picks in a row (W the sum of weights) each gets its weight,
// spread evenly. Changes the credits.
std::size_t pick_round_robin(std::span<Candidate> candidates);
std::size_t pick_random(std::span<const Candidate> candidates, std::uint64_t random);
// Weighted rendezvous: the same key goes to the same candidate while that one is usable; one that
// leaves moves only its own keys.
std::size_t pick_hash(std::span<const Candidate> candidates, std::uint64_t key_hash);

std::size_t pick(Policy policy, std::span<Candidate> candidates, std::uint64_t key_hash,
                 std::uint64_t random);

// Mixes all bits of a value; for tie-breaks and scores, not against attackers.
std::uint64_t mix(std::uint64_t value);

}  // namespace weir::route
