// Network and NetworkList: "10.0.0.0/8" and sets of such, for trusted proxies and access lists.
// Plain values. Pure. IPv4-mapped IPv6 addresses (::ffff:0:0/96) count as IPv4 on both sides.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/result.h"

namespace weir {

struct Network {
  Endpoint base;            // the first address; port and scheme unused
  std::uint8_t prefix = 0;  // 0..32 or 0..128

  bool contains(const Endpoint& address) const;
  friend bool operator==(const Network&, const Network&) = default;
};

// `address` (one host) or `address/prefix`, IPv6 with or without brackets. Bits beyond the prefix
// are cleared: 10.1.2.3/8 is 10.0.0.0/8.
Result<Network> parse_network(std::string_view text);
std::string to_string(const Network& network);

// An IPv4-mapped IPv6 address as IPv4, any other one as it is.
Endpoint unmapped(const Endpoint& address);

// What counts as one client: an IPv4 address, or the /64 that an IPv6 client owns.
std::uint64_t address_group(const Endpoint& client);

class NetworkList {
 public:
  bool contains(const Endpoint& address) const;
  void add(const Network& network) { networks_.push_back(network); }
  bool empty() const { return networks_.empty(); }
  const std::vector<Network>& networks() const { return networks_; }

 private:
  std::vector<Network> networks_;
};

// Networks separated by commas or white space; an empty text is an empty list. `all` stands for
// 0.0.0.0/0 and ::/0, `loopback` for 127.0.0.0/8 and ::1, `private` for the networks of RFC 1918,
// RFC 4193 and the link-local ones.
Result<NetworkList> parse_networks(std::string_view text);

}  // namespace weir
