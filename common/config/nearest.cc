#include "common/config/nearest.h"

#include <algorithm>
#include <numeric>

#include "common/base/ascii.h"

namespace weir::config {
namespace {

constexpr std::size_t kLongest = 64;  // bytes; what is longer is no name

std::string folded(std::string_view text) {
  std::string out = lower_case(text);
  std::replace(out.begin(), out.end(), '-', '_');
  return out;
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);  // two rows up, one row up, this one
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before.swap(above);
    above.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

std::string_view nearest_name(std::string_view text, const std::vector<std::string_view>& names) {
  if (text.size() > kLongest) return {};
  const std::string wanted = folded(text);
  std::string_view nearest;
  std::size_t least = std::max<std::size_t>(wanted.size() / 3, 1) + 1;
  for (const std::string_view name : names) {
    const std::string known = folded(name);
    const std::size_t distance = edit_distance(wanted, known);
    // All of its letters changed: that is another word.
    if (distance >= least || distance >= std::max(wanted.size(), known.size())) continue;
    least = distance;
    nearest = name;
  }
  return nearest;
}

std::string suggest(std::string_view text, const std::vector<std::string_view>& names) {
  const std::string_view nearest = nearest_name(text, names);
  return nearest.empty() ? std::string() : "; did you mean " + std::string(nearest) + "?";
}

}  // namespace weir::config
