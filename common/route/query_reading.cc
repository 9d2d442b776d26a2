#include "common/route/query_reading.h"

#include <algorithm>
#include <string>

#include "common/base/ascii.h"
#include "common/proto/http/fields.h"
#include "common/proto/http/target.h"

namespace weir::route {
namespace {

bool is_any(std::string_view written, std::span<const std::string_view> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view name) { return is_param_name(written, name); });
}

// A piece up to one of `ends`, off the front of `text`; `text` becomes what follows.
std::string_view take_piece(std::string_view& text, std::string_view ends) {
  const std::size_t end = std::min(text.find_first_of(ends), text.size());
  const std::string_view piece = text.substr(0, end);
  const std::size_t mark = text.substr(end).starts_with("&&") && ends.starts_with('=') ? 2 : 1;
  text.remove_prefix(std::min(text.size(), end + mark));
  return piece;
}

}  // namespace

bool is_param_name(std::string_view written, std::string_view name) {
  if (written.size() < name.size()) return false;
  if (same_ignoring_case(written, name)) return true;
  std::string decoded;
  return written.find('%') != std::string_view::npos && http::percent_decode(written, decoded) &&
         same_ignoring_case(decoded, name);
}

bool query_names_any(std::string_view query, std::span<const std::string_view> names) {
  for (std::string_view left = query; !left.empty();) {
    const std::string_view piece = take_piece(left, "&;,?");
    if (is_any(piece.substr(0, piece.find('=')), names)) return true;
  }
  bool is_name = true;
  for (std::string_view left = query; !left.empty(); is_name = !is_name) {
    const std::string_view piece = take_piece(left, "=,&;");
    if (is_name && is_any(piece, names)) return true;
  }
  return false;
}

}  // namespace weir::route
