// Host names, as options and registrations give them. Pure: nothing is looked up here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
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

// The host names of one origin, as a plain value that can lie in shared memory and in a message.
// An endpoint with Family::kName has the number of its name, from 1 on, in ip[0].
struct HostNames {
  static constexpr std::size_t kMax = 4;
  char text[256] = {};  // the names, each with a NUL behind it

  // The name's number, which is that of an equal one if there is any; 0: there is no room.
  std::uint8_t add(std::string_view name);
  // Empty: no such number. Whatever is in `text`, nothing beyond it is read.
  std::string_view at(std::size_t number) const;
  std::size_t count() const;
  friend bool operator==(const HostNames&, const HostNames&) = default;
};
static_assert(sizeof(HostNames) == 256);

// `ip:port`, `[v6]:port`, or `name:port` of those names.
std::string to_string(const Endpoint& endpoint, const HostNames& names);

// Numeric addresses with a port or without (then 53), separated by commas or white space.
Result<std::vector<Endpoint>> parse_name_servers(std::string_view text);

}  // namespace weir
