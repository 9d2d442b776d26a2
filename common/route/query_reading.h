// How origins read a query where they differ from each other, so that none of them finds in it what
// Weir has not judged. Pure; bounded by the query's length.
//
//   most servers   `name=value` between `&`; some also between `;`; names with or without regard to
//                  case, unescaped or not; of two the first, or the last
//   SRS            parted at `=`, `,`, `&&`, `&` and `;` alike: names and values in turn, nothing
//                  unescaped, of two the last
#pragma once

#include <span>
#include <string_view>

namespace weir::route {

// Whether some origin finds a parameter with one of these names (lower case) in the query.
bool query_names_any(std::string_view query, std::span<const std::string_view> names);

// Whether a parameter's name, as written, is `name` (lower case) for some origin.
bool is_param_name(std::string_view written, std::string_view name);

}  // namespace weir::route
