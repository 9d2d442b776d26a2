// Endpoint: the address of a socket as a plain value that can lie in shared memory and in a
// message. Pure: numeric addresses only, no resolver.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace weir {

struct HostNames;  // common/base/host_name.h

// kName: the host is a name, of a list that stands elsewhere (HostNames); not for sockets.
enum class Family : std::uint8_t { kNone = 0, kName = 1, kIpv4 = 4, kIpv6 = 6 };
// The protocol part of `proto://ip:port`. kDefault: none was given.
enum class Scheme : std::uint8_t {
  kDefault = 0,
  kTcp,
  kUdp,
  kRtmp,
  kRtmps,
  kHttp,
  kHttps,
  kSrt,
  kRtc,
  kTls
};

struct Endpoint {
  Family family = Family::kNone;
  Scheme scheme = Scheme::kDefault;
  std::uint16_t port = 0;    // host byte order
  std::uint8_t ip[16] = {};  // network byte order; IPv4 in the first four bytes

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
  bool empty() const { return family == Family::kNone; }
  bool is_numeric() const { return family == Family::kIpv4 || family == Family::kIpv6; }
  bool same_address(const Endpoint& other) const;  // family and ip, not port
  bool is_loopback() const;
  bool is_any() const;   // 0.0.0.0 or ::, whatever the port
  bool is_host() const;  // a host can have it: not unspecified, broadcast or multicast
  // Whether a socket that listens here takes clients of the family: [::] takes those of both.
  bool takes(Family client) const {
    return family == client || (family == Family::kIpv6 && is_any());
  }
};
static_assert(sizeof(Endpoint) == 20);
// Some order, for maps.
struct EndpointLess {
  bool operator()(const Endpoint& a, const Endpoint& b) const {
    return std::memcmp(&a, &b, sizeof a) < 0;  // no padding: the size is asserted
  }
};

// A listen value: `port` (all IPv4 addresses), `ip:port`, `[v6]:port` or `:port`; `[::]:port` are
// all addresses of both families.
Result<Endpoint> parse_listen(std::string_view text);
// A numeric address without port, IPv6 with or without brackets.
Result<Endpoint> parse_ip(std::string_view text);
// An origin's endpoint as the registration API takes it: `port`, `proto://ip:port`,
// `proto://:port`, `ip:port`, `[v6]:port`. `default_ip` fills in a missing, or unspecified
// (0.0.0.0, ::), address. Unknown protocol names are errors. With `names` a host name may stand for
// the address, and is added there.
Result<Endpoint> parse_origin_endpoint(std::string_view text, const Endpoint& default_ip,
                                       HostNames* names = nullptr);
// An origin's own address or, likewise, name.
Result<Endpoint> parse_origin_host(std::string_view text, HostNames& names);

// `ip:port` or `[v6]:port`.
std::string to_string(const Endpoint& endpoint);
// The address alone, IPv6 without brackets.
std::string ip_to_string(const Endpoint& endpoint);
std::string_view to_string(Scheme scheme);

// Socket address of an endpoint. Returns the length used of `out`; 0 for an empty endpoint.
socklen_t to_sockaddr(const Endpoint& endpoint, sockaddr_storage& out);
// An IPv4-mapped IPv6 address comes out as IPv4. Empty for other families.
Endpoint from_sockaddr(const sockaddr_storage& address);

}  // namespace weir
