// Text helpers of the System API: percent-escapes, query parameters, times, label values,
// and the comparison of secrets. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::control {

// Undoes %XX, and + for a space when asked. Empty for a broken escape.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);
// The decoded value of the first `name=` in a query string; empty when there is none (or a broken
// escape in it).
std::optional<std::string> query_value(std::string_view query, std::string_view name);
// A decimal number without sign, at most `max`.
std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t max);

// 2026-11-21T08:15:30.123Z
std::string iso_time(std::uint64_t wall_ms);
// A label value of the Prometheus text format: \, " and line ends escaped.
std::string escape_label(std::string_view value);

}  // namespace weir::control
