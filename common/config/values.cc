#include "common/config/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace weir::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
// Longest name first where one is the start of another (ms, m).
constexpr std::array<Unit, 5> kTimeUnits = {
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
constexpr std::array<Unit, 3> kSizeUnits = {{{"k", 1U << 10}, {"m", 1U << 20}, {"g", 1U << 30}}};

constexpr std::uint64_t kMaxNumber = 9'999'999'999'999;
constexpr std::uint64_t kMaxDuration = 366ULL * 86'400'000 * 100;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::size_t count_digits(std::string_view text) {
  const auto* end = std::find_if_not(text.begin(), text.end(), is_digit);
  return static_cast<std::size_t>(end - text.begin());
}

// REQUIRES: digits only. What is above kMaxNumber comes out as one more than that.
std::uint64_t to_number(std::string_view digits) {
  std::uint64_t value = 0;
  for (const char c : digits) {
    value = std::min(value * 10 + static_cast<std::uint64_t>(c - '0'), kMaxNumber + 1);
  }
  return value;
}

// One `number[.fraction]unit` of a duration, taken off the front of `text`; false if malformed. A
// total that is too large comes out as more than kMaxDuration.
bool take_duration_part(std::string_view& text, std::uint64_t& total) {
  const std::size_t whole = count_digits(text);
  if (whole == 0) return false;
  const std::uint64_t number = to_number(text.substr(0, whole));
  text.remove_prefix(whole);
  std::string_view fraction;
  if (!text.empty() && text.front() == '.') {
    const std::size_t digits = count_digits(text.substr(1));
    if (digits == 0 || digits > 6) return false;
    fraction = text.substr(1, digits);
    text.remove_prefix(digits + 1);
  }
  const auto* unit = std::find_if(kTimeUnits.begin(), kTimeUnits.end(), [&](const Unit& candidate) {
    return text.substr(0, candidate.name.size()) == candidate.name;
  });
  if (unit == kTimeUnits.end()) return false;
  text.remove_prefix(unit->name.size());
  if (number > kMaxDuration / unit->factor) {
    total = kMaxDuration + 1;
    return true;
  }
  std::uint64_t scale = 1;
  for (std::size_t i = 0; i < fraction.size(); ++i) scale *= 10;
  total += number * unit->factor + to_number(fraction) * unit->factor / scale;
  total = std::min(total, kMaxDuration + 1);  // so that many parts overflow nothing
  return true;
}

bool is_bare(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("_-+./:[]@%=,*?&").find(c) != std::string_view::npos;
}

}  // namespace

Result<bool> parse_flag(std::string_view text) {
  if (text == "on") return true;
  if (text == "off") return false;
  return fail(show(text) + " is neither on nor off");
}

Result<std::int64_t> parse_int(std::string_view text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range && stop == end) {
    return fail(show(text) + (text.front() == '-' ? " is too small" : " is too large"));
  }
  if (error != std::errc{} || stop != end) return fail(show(text) + " is not a whole number");
  return value;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  const std::size_t digits = count_digits(text);
  std::uint64_t factor = 1;
  if (text.size() == digits + 1) {
    const char lower = static_cast<char>(text.back() | 0x20);
    for (const Unit& unit : kSizeUnits) {
      if (unit.name.front() == lower) factor = unit.factor;
    }
  }
  const bool well_formed = text.size() == digits || (text.size() == digits + 1 && factor > 1);
  if (digits == 0 || !well_formed) {
    return fail(show(text) + " is not a size, such as 4096, 64k, 16m or 1g");
  }
  const std::uint64_t number = to_number(text.substr(0, digits));
  if (number > kMaxNumber || number > (1ULL << 62) / factor)
    return fail(show(text) + " is too large");
  return number * factor;
}

Result<std::uint64_t> parse_duration(std::string_view text) {
  if (text == "0") return std::uint64_t{0};
  std::uint64_t total = 0;
  std::string_view rest = text;
  if (!text.empty() && count_digits(text) == text.size()) {
    return fail(show(text) + " has no unit (ms, s, m, h or d)");
  }
  do {
    if (!take_duration_part(rest, total)) {
      return fail(show(text) + " is not a duration, such as 20ms, 30s or 1m30s");
    }
  } while (!rest.empty());
  if (total > kMaxDuration) return fail(show(text) + " is too large");
  return total;
}

std::string print_flag(bool value) {
  return value ? "on" : "off";
}

std::string print_size(std::uint64_t bytes) {
  for (std::size_t i = kSizeUnits.size(); i-- > 0;) {
    const Unit& unit = kSizeUnits[i];
    if (bytes != 0 && bytes % unit.factor == 0) {
      return std::to_string(bytes / unit.factor).append(unit.name);
    }
  }
  return std::to_string(bytes);
}

std::string print_duration(std::uint64_t ms) {
  if (ms == 0) return "0";
  for (std::size_t i = kTimeUnits.size(); i-- > 0;) {
    const Unit& unit = kTimeUnits[i];
    if (ms % unit.factor == 0) return std::to_string(ms / unit.factor).append(unit.name);
  }
  return std::to_string(ms) + "ms";
}

std::string print_endpoint(const Endpoint& endpoint) {
  if (endpoint.scheme == Scheme::kDefault) return to_string(endpoint);
  return std::string(to_string(endpoint.scheme)) + "://" + to_string(endpoint);
}

std::string print_word(std::string_view text) {
  if (!text.empty() && std::all_of(text.begin(), text.end(), is_bare)) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\' || c == '$') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string show(std::string_view text) {
  constexpr std::size_t kShown = 64;
  std::string out = "\"";
  for (const char c : text.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte >= 0x7F ? '?' : c;
  }
  if (text.size() > kShown) out += "...";
  return out + '"';
}

std::vector<std::string_view> split_words(std::string_view list) {
  std::vector<std::string_view> words;
  while (!list.empty()) {
    const std::size_t bar = std::min(list.find('|'), list.size());
    words.push_back(list.substr(0, bar));
    list.remove_prefix(std::min(bar + 1, list.size()));
  }
  return words;
}

namespace from_default {
bool Flag(std::string_view text) {
  return parse_flag(text).value_or(false);
}
std::int64_t Int(std::string_view text) {
  return parse_int(text).value_or(0);
}
std::uint64_t Size(std::string_view text) {
  return parse_size(text).value_or(0);
}
std::uint64_t Duration(std::string_view text) {
  return parse_duration(text).value_or(0);
}
std::string Text(std::string_view text) {
  return std::string(text);
}
std::string Secret(std::string_view text) {
  return std::string(text);
}
std::string Networks(std::string_view text) {
  return std::string(text);
}
std::string Access(std::string_view text) {
  return std::string(text);
}
std::string Hosts(std::string_view text) {
  return std::string(text);
}
std::string Enum(std::string_view text) {
  return std::string(text);
}
Endpoint Listen(std::string_view text) {
  return parse_listen(text).value_or(Endpoint{});
}
}  // namespace from_default

}  // namespace weir::config
