#include "common/route/balance.h"

#include <cmath>

namespace weir::route {
namespace {

bool eligible(const Candidate& candidate) {
  return candidate.usable && candidate.weight != 0;
}

}  // namespace

std::optional<Policy> parse_policy(std::string_view text) {
  if (text == "least_streams") return Policy::kLeastStreams;
  if (text == "round_robin") return Policy::kRoundRobin;
  if (text == "random") return Policy::kRandom;
  if (text == "hash") return Policy::kHash;
  return std::nullopt;
}

// The finalizer of Steele, Lea and Flood's SplitMix64.
std::uint64_t mix(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15ULL;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31);
}

std::size_t pick_least_streams(std::span<const Candidate> candidates, std::uint64_t random) {
  std::size_t best = kNobody;
  std::uint64_t best_tie = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& c = candidates[i];
    if (!eligible(c)) continue;
    const std::uint64_t tie = mix(c.id ^ random);
    if (best != kNobody) {
      // (load + 1) / weight without dividing.
      const std::uint64_t mine = (std::uint64_t{c.load} + 1) * candidates[best].weight;
      const std::uint64_t theirs = (std::uint64_t{candidates[best].load} + 1) * c.weight;
      if (mine > theirs || (mine == theirs && tie <= best_tie)) continue;
    }
    best = i;
    best_tie = tie;
  }
  return best;
}

std::size_t pick_round_robin(std::span<Candidate> candidates) {
  std::size_t best = kNobody;
  std::int64_t total = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    Candidate& c = candidates[i];
    if (!eligible(c)) continue;
    c.credit += c.weight;
    total += c.weight;
    if (best == kNobody || c.credit > candidates[best].credit) best = i;
  }
  if (best != kNobody) candidates[best].credit -= total;
  return best;
}

std::size_t pick_random(std::span<const Candidate> candidates, std::uint64_t random) {
  std::uint64_t total = 0;
  for (const Candidate& c : candidates) total += eligible(c) ? c.weight : 0;
  if (total == 0) return kNobody;
  std::uint64_t at = random % total;  // weights are small: the bias of % is below 2^-40
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (!eligible(candidates[i])) continue;
    if (at < candidates[i].weight) return i;
    at -= candidates[i].weight;
  }
  return kNobody;
}

std::size_t pick_hash(std::span<const Candidate> candidates, std::uint64_t key_hash) {
  std::size_t best = kNobody;
  double best_score = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& c = candidates[i];
    if (!eligible(c)) continue;
    // A uniform value in (0, 1), made an exponential one with rate 1/weight: the highest wins with
    // a probability in proportion to its weight.
    const std::uint64_t bits = mix(mix(c.id) ^ key_hash) >> 11;
    const double uniform = (static_cast<double>(bits) + 0.5) / 9007199254740992.0;  // 2^53
    const double score = -static_cast<double>(c.weight) / std::log(uniform);
    if (best == kNobody || score > best_score) {
      best = i;
      best_score = score;
    }
  }
  return best;
}

std::size_t pick(Policy policy, std::span<Candidate> candidates, std::uint64_t key_hash,
                 std::uint64_t random) {
  switch (policy) {
    case Policy::kLeastStreams:
      return pick_least_streams(candidates, random);
    case Policy::kRoundRobin:
      return pick_round_robin(candidates);
    case Policy::kRandom:
      return pick_random(candidates, random);
    case Policy::kHash:
      return pick_hash(candidates, key_hash);
  }
  return kNobody;
}

}  // namespace weir::route
