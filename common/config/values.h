// Values of weir.conf and of the environment as text: parse and print. Pure.
// An error's text says what is wrong with the value, without naming the option.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/result.h"

namespace weir::config {

Result<bool> parse_flag(std::string_view text);           // on, off
Result<std::int64_t> parse_int(std::string_view text);    // decimal digits, a leading - too
Result<std::uint64_t> parse_size(std::string_view text);  // bytes; k m g are powers of 1024
// Milliseconds: numbers with the units ms s m h d, several in a row, each with a fraction if need
// be: 20ms, 1m30s, 1.5h. The unit may be left out for 0 only.
Result<std::uint64_t> parse_duration(std::string_view text);

std::string print_flag(bool value);
std::string print_size(std::uint64_t bytes);
std::string print_duration(std::uint64_t ms);          // in the largest unit that is exact
std::string print_endpoint(const Endpoint& endpoint);  // with proto:// when it has one

// A word as the file's syntax needs it: bare, or in double quotes with escapes.
std::string print_word(std::string_view text);
// A value from outside in a message: in quotes, cut at 64 bytes, without control characters.
std::string show(std::string_view text);
// The words of an Enum, "a|b|c".
std::vector<std::string_view> split_words(std::string_view list);

// Defaults of the option table. REQUIRES: text is valid, which config_options_test.cc proves for
// the whole table; an invalid one gives a value of zero.
namespace from_default {
bool Flag(std::string_view text);
std::int64_t Int(std::string_view text);
std::uint64_t Size(std::string_view text);
std::uint64_t Duration(std::string_view text);
std::string Text(std::string_view text);
std::string Secret(std::string_view text);
std::string Networks(std::string_view text);
std::string Access(std::string_view text);
std::string Hosts(std::string_view text);
std::string Enum(std::string_view text);
Endpoint Listen(std::string_view text);
}  // namespace from_default

}  // namespace weir::config
