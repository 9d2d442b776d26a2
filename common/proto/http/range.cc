#include "common/proto/http/range.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/base/ascii.h"

namespace weir::http {
namespace {

constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 7> kLongDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                       "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct Civil {
  std::int64_t year = 1970;
  int month = 1;  // 1 to 12
  int day = 1;
};

// Days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the leap
// day is the last of its year; 400 years have 146,097 days.
std::int64_t days_from_civil(const Civil& date) {
  const std::int64_t year = date.month <= 2 ? date.year - 1 : date.year;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t in_era = year - era * 400;
  const std::int64_t from_march = (date.month + 9) % 12;
  const std::int64_t day_of_year = (153 * from_march + 2) / 5 + date.day - 1;
  return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + day_of_year - 719468;
}

Civil civil_from_days(std::int64_t days) {
  const std::int64_t since = days + 719468;
  const std::int64_t era = (since >= 0 ? since : since - 146096) / 146097;
  const std::int64_t in_era = since - era * 146097;
  const std::int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
  const std::int64_t day_of_year = in_era - (365 * year + year / 4 - year / 100);
  const std::int64_t from_march = (5 * day_of_year + 2) / 153;
  Civil date;
  date.day = static_cast<int>(day_of_year - (153 * from_march + 2) / 5 + 1);
  date.month = static_cast<int>(from_march < 10 ? from_march + 3 : from_march - 9);
  date.year = year + era * 400 + (date.month <= 2 ? 1 : 0);
  return date;
}

void append_padded(std::string& out, std::int64_t number, std::size_t width) {
  const std::string digits = std::to_string(number);
  out.append(width > digits.size() ? width - digits.size() : 0, '0').append(digits);
}

// Takes what a date is made of from the front of a text.
class DateReader {
 public:
  explicit DateReader(std::string_view text) : rest_(text) {}
  bool literal(std::string_view text) {
    if (rest_.substr(0, text.size()) != text) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  bool number(std::size_t digits, int& value) {
    if (rest_.size() < digits) return false;
    value = 0;
    for (const char c : rest_.substr(0, digits)) {
      if (c < '0' || c > '9') return false;
      value = value * 10 + (c - '0');
    }
    rest_.remove_prefix(digits);
    return true;
  }
  template <std::size_t N>
  bool one_of(const std::array<std::string_view, N>& names, int& index) {
    for (std::size_t i = 0; i < N; ++i) {
      if (!literal(names[i])) continue;
      index = static_cast<int>(i);
      return true;
    }
    return false;
  }
  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

struct Moment {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
};

bool read_time(DateReader& in, Moment& out) {
  return in.number(2, out.hour) && in.literal(":") && in.number(2, out.minute) && in.literal(":") &&
         in.number(2, out.second);
}

// Sun, 06 Nov 1994 08:49:37 GMT
bool read_fixdate(std::string_view text, Moment& out) {
  DateReader in(text);
  int day = 0;
  return in.one_of(kDays, day) && in.literal(", ") && in.number(2, out.day) && in.literal(" ") &&
         in.one_of(kMonths, out.month) && in.literal(" ") && in.number(4, out.year) &&
         in.literal(" ") && read_time(in, out) && in.literal(" GMT") && in.at_end();
}

// Sunday, 06-Nov-94 08:49:37 GMT
bool read_rfc850(std::string_view text, Moment& out) {
  DateReader in(text);
  int day = 0;
  const bool good = in.one_of(kLongDays, day) && in.literal(", ") && in.number(2, out.day) &&
                    in.literal("-") && in.one_of(kMonths, out.month) && in.literal("-") &&
                    in.number(2, out.year) && in.literal(" ") && read_time(in, out) &&
                    in.literal(" GMT") && in.at_end();
  out.year += out.year < 70 ? 2000 : 1900;
  return good;
}

// Sun Nov  6 08:49:37 1994
bool read_asctime(std::string_view text, Moment& out) {
  DateReader in(text);
  int day = 0;
  if (!in.one_of(kDays, day) || !in.literal(" ") || !in.one_of(kMonths, out.month) ||
      !in.literal(" ")) {
    return false;
  }
  const bool one_digit = in.literal(" ");
  return in.number(one_digit ? 1 : 2, out.day) && in.literal(" ") && read_time(in, out) &&
         in.literal(" ") && in.number(4, out.year) && in.at_end();
}

std::string_view opaque(std::string_view tag) {
  return is_weak(tag) ? tag.substr(2) : tag;
}

// Takes a tag from the front of a list, and the comma after it.
bool next_tag(std::string_view& list, std::string_view& tag) {
  const std::size_t begin = list.find_first_not_of(" \t,");
  if (begin == std::string_view::npos) return false;
  list.remove_prefix(begin);
  const std::size_t open = list.substr(0, 2) == "W/" ? 2 : 0;
  if (list.size() <= open || list[open] != '"') return false;
  const std::size_t close = list.find('"', open + 1);
  if (close == std::string_view::npos) return false;
  tag = list.substr(0, close + 1);
  list.remove_prefix(close + 1);
  const std::size_t comma = list.find_first_not_of(" \t");
  return comma == std::string_view::npos || list[comma] == ',';
}

std::optional<std::int64_t> date_of(const Fields& fields, HeaderId id) {
  return fields.has(id) ? parse_http_date(fields.get(id)) : std::nullopt;
}

// Whether a tag in any field of that name matches.
bool matches(const Fields& fields, HeaderId id, std::string_view etag, TagCompare compare) {
  return std::any_of(fields.begin(), fields.end(), [&](const Field& field) {
    return field.id == id && any_tag_matches(field.value, etag, compare);
  });
}

bool if_range_holds(std::string_view value, const Validators& validators) {
  if (is_entity_tag(value)) return strong_equal(value, validators.etag);
  const auto date = parse_http_date(value);
  return date && validators.last_modified && *date == *validators.last_modified;
}

}  // namespace

std::string format_http_date(std::int64_t seconds) {
  constexpr std::int64_t kFirst = -62167219200;  // 0000-01-01
  constexpr std::int64_t kLast = 253402300799;   // 9999-12-31
  const std::int64_t clamped = std::clamp(seconds, kFirst, kLast) - kFirst;
  const std::int64_t days = clamped / 86400 + kFirst / 86400;
  const std::int64_t second = clamped % 86400;
  const Civil date = civil_from_days(days);
  // 1970-01-01 was a Thursday.
  const auto weekday = static_cast<std::size_t>(((days + 4) % 7 + 7) % 7);
  std::string out(kDays[weekday]);
  out.append(", ");
  append_padded(out, date.day, 2);
  out.append(" ").append(kMonths[static_cast<std::size_t>(date.month - 1)]).append(" ");
  append_padded(out, date.year, 4);
  out.append(" ");
  append_padded(out, second / 3600, 2);
  out.append(":");
  append_padded(out, second / 60 % 60, 2);
  out.append(":");
  append_padded(out, second % 60, 2);
  return out.append(" GMT");
}

std::optional<std::int64_t> parse_http_date(std::string_view text) {
  Moment moment;
  if (!read_fixdate(text, moment) && !read_rfc850(text, moment) && !read_asctime(text, moment)) {
    return std::nullopt;
  }
  const Civil date{moment.year, moment.month + 1, moment.day};
  const std::int64_t days = days_from_civil(date);
  const bool exists = days >= -719528 && civil_from_days(days).day == date.day;
  if (!exists || moment.day == 0 || moment.hour > 23 || moment.minute > 59 || moment.second > 60) {
    return std::nullopt;
  }
  return days * 86400 + moment.hour * 3600 + moment.minute * 60 + moment.second;
}

bool is_entity_tag(std::string_view text) {
  const std::string_view rest = opaque(text);
  if (rest.size() < 2 || rest.front() != '"' || rest.back() != '"') return false;
  const std::string_view inner = rest.substr(1, rest.size() - 2);
  return std::all_of(inner.begin(), inner.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7F && byte != '"';
  });
}

bool is_weak(std::string_view tag) {
  return tag.substr(0, 2) == "W/";
}

bool strong_equal(std::string_view a, std::string_view b) {
  return !a.empty() && !is_weak(a) && a == b;
}

bool weak_equal(std::string_view a, std::string_view b) {
  return !opaque(a).empty() && opaque(a) == opaque(b);
}

bool any_tag_matches(std::string_view list, std::string_view tag, TagCompare compare) {
  if (trim(list) == "*") return true;
  std::string_view one;
  while (next_tag(list, one)) {
    if (compare == TagCompare::kStrong ? strong_equal(one, tag) : weak_equal(one, tag)) return true;
  }
  return false;
}

std::string file_entity_tag(std::int64_t mtime_ns, std::uint64_t size) {
  char digits[16];
  std::string out = "\"";
  const auto mtime = static_cast<std::uint64_t>(mtime_ns);
  out.append(digits, std::to_chars(digits, digits + sizeof digits, mtime, 16).ptr).append("-");
  return out.append(digits, std::to_chars(digits, digits + sizeof digits, size, 16).ptr)
      .append("\"");
}

Condition evaluate_conditions(Method method, const Fields& fields, const Validators& validators) {
  const auto& modified = validators.last_modified;
  if (fields.has(HeaderId::kIfMatch)) {
    if (!matches(fields, HeaderId::kIfMatch, validators.etag, TagCompare::kStrong)) {
      return Condition::kPreconditionFailed;
    }
  } else if (const auto date = date_of(fields, HeaderId::kIfUnmodifiedSince)) {
    if (modified && *modified > *date) return Condition::kPreconditionFailed;
  }
  const bool safe = method == Method::kGet || method == Method::kHead;
  if (fields.has(HeaderId::kIfNoneMatch)) {
    if (!matches(fields, HeaderId::kIfNoneMatch, validators.etag, TagCompare::kWeak)) {
      return Condition::kProceed;
    }
    return safe ? Condition::kNotModified : Condition::kPreconditionFailed;
  }
  if (!safe || !modified) return Condition::kProceed;
  const auto date = date_of(fields, HeaderId::kIfModifiedSince);
  return date && *modified <= *date ? Condition::kNotModified : Condition::kProceed;
}

RangeDecision parse_range(std::string_view value, std::uint64_t size) {
  const RangeDecision whole;
  const RangeDecision unsatisfiable{RangeDecision::Kind::kUnsatisfiable, {}};
  if (!same_ignoring_case(value.substr(0, 6), "bytes=")) return whole;
  const std::string_view spec = trim(value.substr(6));
  const std::size_t dash = spec.find('-');
  if (dash == std::string_view::npos) return whole;  // malformed, or several: the whole
  const std::string_view from = spec.substr(0, dash);
  const std::string_view to = spec.substr(dash + 1);
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  if (from.empty()) {
    if (!parse_decimal(to, last)) return whole;
    if (last == 0 || size == 0) return unsatisfiable;
    return {RangeDecision::Kind::kPartial, {size - std::min(last, size), size - 1}};
  }
  if (!parse_decimal(from, first)) return whole;
  if (to.empty()) {
    last = UINT64_MAX;
  } else if (!parse_decimal(to, last) || last < first) {
    return whole;
  }
  if (first >= size) return unsatisfiable;
  return {RangeDecision::Kind::kPartial, {first, std::min(last, size - 1)}};
}

RangeDecision evaluate_range(Method method, const Fields& fields, const Validators& validators,
                             std::uint64_t size) {
  if (method != Method::kGet || fields.count(HeaderId::kRange) != 1) return {};
  if (fields.has(HeaderId::kIfRange) &&
      !if_range_holds(fields.get(HeaderId::kIfRange), validators)) {
    return {};
  }
  return parse_range(fields.get(HeaderId::kRange), size);
}

std::string content_range(const ByteRange& range, std::uint64_t size) {
  return "bytes " + std::to_string(range.first) + "-" + std::to_string(range.last) + "/" +
         std::to_string(size);
}

std::string content_range_unsatisfied(std::uint64_t size) {
  return "bytes */" + std::to_string(size);
}

}  // namespace weir::http
