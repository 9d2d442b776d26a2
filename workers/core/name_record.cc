#include "workers/core/name_record.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace weir {
namespace {

constexpr std::uint64_t kRetryMs = 1000;  // after the first failure, doubled with each
constexpr std::uint64_t kRetryMaxMs = 8000;
constexpr std::uint64_t kNoDataMs = 60000;  // a family that has none, while the other one has

bool before(const Endpoint& a, const Endpoint& b) {
  if (a.family != b.family) return a.family < b.family;
  return std::memcmp(a.ip, b.ip, sizeof a.ip) < 0;
}

bool same_set(std::vector<Endpoint> a, std::vector<Endpoint> b) {
  if (a.size() != b.size()) return false;
  std::sort(a.begin(), a.end(), before);
  std::sort(b.begin(), b.end(), before);
  return a == b;
}

}  // namespace

std::string_view to_string(NameFault fault) {
  switch (fault) {
    case NameFault::kNone:
      return "no answer yet";
    case NameFault::kNotFound:
      return "no such name";
    case NameFault::kNoData:
      return "the name has no address";
    case NameFault::kServer:
      return "the name server failed";
    case NameFault::kTimeout:
      return "the name server is silent";
  }
  return "unknown";
}

NameRecord::NameRecord(const NameSettings& settings, std::uint64_t now_ms) : settings_(settings) {
  for (Family& each : families_) each.due_ms = now_ms;
}

bool NameRecord::answered(std::size_t family, std::vector<Endpoint> addresses, std::uint64_t ttl_ms,
                          std::uint64_t now_ms) {
  if (addresses.empty()) return failed(family, NameFault::kNoData, now_ms);
  Family& mine = families_[family];
  const std::uint64_t ttl = std::clamp(ttl_ms, settings_.ttl_min_ms, settings_.ttl_max_ms);
  if (!same_set(mine.addresses, addresses)) mine.addresses = std::move(addresses);
  mine.good_until_ms = now_ms + ttl;
  mine.due_ms = mine.good_until_ms;
  mine.retry_ms = 0;
  mine.fault = NameFault::kNone;
  mine.said = true;
  return merge();
}

bool NameRecord::other_is_fresh(std::size_t family, std::uint64_t now_ms) const {
  const Family& other = families_[1 - family];
  return !other.addresses.empty() && other.good_until_ms > now_ms;
}

bool NameRecord::failed(std::size_t family, NameFault fault, std::uint64_t now_ms) {
  Family& mine = families_[family];
  mine.fault = fault;
  mine.said = true;
  const bool moved_over = fault == NameFault::kNoData && other_is_fresh(family, now_ms);
  if (moved_over) mine.addresses.clear();
  if (moved_over || (fault == NameFault::kNoData && !families_[1 - family].said)) {
    mine.retry_ms = 0;
    mine.due_ms = now_ms + kNoDataMs;
  } else {
    mine.retry_ms = mine.retry_ms == 0 ? kRetryMs : std::min(kRetryMaxMs, 2 * mine.retry_ms);
    mine.due_ms = now_ms + mine.retry_ms;
  }
  // Neither has any: the first to have some may be either.
  Family& other = families_[1 - family];
  if (absent()) other.due_ms = std::min(other.due_ms, mine.due_ms);
  return merge();
}

bool NameRecord::expire(std::uint64_t now_ms) {
  for (Family& each : families_) {
    if (!each.addresses.empty() && now_ms >= each.good_until_ms + settings_.stale_ms) {
      each.addresses.clear();
    }
  }
  return merge();
}

std::uint64_t NameRecord::expires_ms() const {
  std::uint64_t soonest = 0;
  for (const Family& each : families_) {
    if (each.addresses.empty()) continue;
    const std::uint64_t at = each.good_until_ms + settings_.stale_ms;
    if (soonest == 0 || at < soonest) soonest = at;
  }
  return soonest;
}

NameFault NameRecord::fault() const {
  for (const Family& each : families_) {
    if (!each.said || each.fault == NameFault::kNone) return NameFault::kNone;
  }
  // "No address" of one family is no fault; the other one says more.
  return families_[0].fault == NameFault::kNoData ? families_[1].fault : families_[0].fault;
}

bool NameRecord::absent() const {
  if (!addresses_.empty()) return false;
  return std::all_of(families_.begin(), families_.end(), [](const Family& each) {
    return each.fault == NameFault::kNotFound || each.fault == NameFault::kNoData;
  });
}

// The addresses of both families as one list. True: it is another one, or is known to be empty now.
bool NameRecord::merge() {
  std::vector<Endpoint> all = families_[0].addresses;
  all.insert(all.end(), families_[1].addresses.begin(), families_[1].addresses.end());
  const bool changed = all != addresses_;
  addresses_ = std::move(all);
  const bool now_absent = absent();
  return std::exchange(known_absent_, now_absent) != now_absent || changed;
}

}  // namespace weir
