// Text in ASCII, as protocols and the configuration have it: letters that are compared without
// their case (the 26; other bytes stay), and lists. Pure, and the same in every locale.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace weir {

constexpr char lower_case(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

inline std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = lower_case(c);
  return out;
}

constexpr bool same_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return lower_case(x) == lower_case(y);
         });
}

// The next of several items that white space or commas separate, taken off the text; empty: there
// is none left.
inline std::string_view take_item(std::string_view& text) {
  constexpr std::string_view kSeparators = ", \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kSeparators), text.size()));
  const std::string_view item = text.substr(0, text.find_first_of(kSeparators));
  text.remove_prefix(item.size());
  return item;
}

}  // namespace weir
