// Conditional and range requests (RFC 9110, sections 13 and 14), entity tags and HTTP dates. Pure:
// the answers depend on the fields and the validators given, never on a clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/proto/http/head.h"

namespace weir::http {

// ---- dates: seconds since 1970

// `Sun, 06 Nov 1994 08:49:37 GMT`. REQUIRES: year 0 to 9999; others come out clamped.
std::string format_http_date(std::int64_t seconds);
// IMF-fixdate, and the two older forms of RFC 9110 5.6.7 (two-digit years: 1970 to 2069). The name
// of the day isn't compared with the date.
std::optional<std::int64_t> parse_http_date(std::string_view text);

// ---- entity tags, with their quotes and `W/`

bool is_entity_tag(std::string_view text);
bool is_weak(std::string_view tag);
bool strong_equal(std::string_view a, std::string_view b);
bool weak_equal(std::string_view a, std::string_view b);
// The value of If-Match or If-None-Match: `*`, or a list in which some tag is equal. A malformed
// list matches nothing from the fault on.
enum class TagCompare : std::uint8_t { kStrong, kWeak };
bool any_tag_matches(std::string_view list, std::string_view tag, TagCompare compare);
// A strong tag of a file: `"<mtime in ns>-<size>"`, hexadecimal.
std::string file_entity_tag(std::int64_t mtime_ns, std::uint64_t size);

// ---- evaluation

// What is known of the representation that would be sent.
struct Validators {
  std::string_view etag;                      // empty: none
  std::optional<std::int64_t> last_modified;  // seconds
};

enum class Condition : std::uint8_t {
  kProceed,
  kNotModified,         // 304
  kPreconditionFailed,  // 412
};
// In the order of RFC 9110, 13.2.2. REQUIRES: the resource exists.
Condition evaluate_conditions(Method method, const Fields& fields, const Validators& validators);

struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;  // inclusive
  std::uint64_t length() const { return last - first + 1; }
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};
struct RangeDecision {
  enum class Kind : std::uint8_t {
    kWhole,          // 200: no Range, not for us, several ranges, or If-Range doesn't hold
    kPartial,        // 206 with `range`
    kUnsatisfiable,  // 416 with Content-Range: bytes */size
  };
  Kind kind = Kind::kWhole;
  ByteRange range;
};
// The value of a Range field. Several ranges are answered as a whole (allowed by 14.2), so that
// nobody can make us send a file many times over.
RangeDecision parse_range(std::string_view value, std::uint64_t size);
// Range together with If-Range; GET only.
RangeDecision evaluate_range(Method method, const Fields& fields, const Validators& validators,
                             std::uint64_t size);
// `bytes 0-499/1234`, and `bytes */1234` for a range that can't be had.
std::string content_range(const ByteRange& range, std::uint64_t size);
std::string content_range_unsatisfied(std::uint64_t size);

}  // namespace weir::http
