// The name that somebody may have meant who wrote another one: for messages about unknown options,
// blocks and words. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace weir::config {

// How many letters have to be put in, left out, replaced, or swapped with the next one, so that one
// becomes the other (optimal string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b);

// The nearest of them, upper and lower case and - and _ being equal; the first of several. Empty:
// none is near enough to be meant, which is a third of the letters, or one letter of a short name.
std::string_view nearest_name(std::string_view text, const std::vector<std::string_view>& names);

// `; did you mean NAME?`, or nothing.
std::string suggest(std::string_view text, const std::vector<std::string_view>& names);

}  // namespace weir::config
