// Host names, as options and registrations give them. Pure: nothing is looked up here.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/result.h"

namespace weir {

inline constexpr std::size_t kHostNameBytes = 253;  // RFC 1035, 2.3.4
inline constexpr std::size_t kNameServersMax = 8;

// Labels of letters, digits, - and _, each of up to 63 bytes, separated by dots; one may end it.
// What looks like a wrong IPv4 address (its last label is a number) is no name.
bool is_host_name(std::string_view text);

// Numeric addresses with a port or without (then 53), separated by commas or white space.
Result<std::vector<Endpoint>> parse_name_servers(std::string_view text);

}  // namespace weir
