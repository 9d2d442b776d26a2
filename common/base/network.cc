#include "common/base/network.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "common/base/ascii.h"

namespace weir {
namespace {

constexpr std::array<std::string_view, 2> kAll = {"0.0.0.0/0", "::/0"};
constexpr std::array<std::string_view, 2> kLoopback = {"127.0.0.0/8", "::1"};
constexpr std::array<std::string_view, 6> kPrivate = {
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"};

unsigned bits_of(const Endpoint& address) {
  return address.family == Family::kIpv4 ? 32 : 128;
}

// The bits of byte `at` that belong to a prefix of that many bits.
std::uint8_t mask_of(unsigned prefix, std::size_t at) {
  const std::size_t begin = at * 8;
  if (prefix >= begin + 8) return 0xFF;
  if (prefix <= begin) return 0;
  return static_cast<std::uint8_t>(0xFF << (8 - (prefix - begin)));
}

template <std::size_t N>
bool add_all(const std::array<std::string_view, N>& texts, NetworkList& list) {
  for (const std::string_view text : texts) {
    if (const auto network = parse_network(text)) list.add(*network);
  }
  return true;
}

bool add_group(std::string_view name, NetworkList& list) {
  if (name == "all") return add_all(kAll, list);
  if (name == "loopback") return add_all(kLoopback, list);
  if (name == "private") return add_all(kPrivate, list);
  return false;
}

}  // namespace

Endpoint unmapped(const Endpoint& address) {
  static constexpr std::uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  if (address.family != Family::kIpv6 || std::memcmp(address.ip, kMapped, sizeof kMapped) != 0) {
    return address;
  }
  Endpoint v4;
  v4.family = Family::kIpv4;
  v4.scheme = address.scheme;
  v4.port = address.port;
  std::copy_n(address.ip + sizeof kMapped, 4, v4.ip);
  return v4;
}

std::uint64_t address_group(const Endpoint& client) {
  std::uint64_t group = 0;
  std::memcpy(&group, client.ip, client.family == Family::kIpv4 ? 4 : 8);
  return client.family == Family::kIpv4 ? group : ~group;
}

bool Network::contains(const Endpoint& address) const {
  const Endpoint plain = unmapped(address);
  if (plain.family != base.family || plain.family == Family::kNone) return false;
  for (std::size_t i = 0; i * 8 < prefix; ++i) {
    if (((plain.ip[i] ^ base.ip[i]) & mask_of(prefix, i)) != 0) return false;
  }
  return true;
}

Result<Network> parse_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = parse_ip(text.substr(0, slash));
  const std::string shown = "\"" + std::string(text.substr(0, 80)) + "\"";
  if (!address) return fail(shown + " is not a network such as 10.0.0.0/8 or ::1");
  Network network;
  unsigned prefix = bits_of(*address);
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
    if (error != std::errc{} || end != digits.data() + digits.size() ||
        prefix > bits_of(*address)) {
      return fail(shown + ": the prefix is not a number from 0 to " +
                  std::to_string(bits_of(*address)));
    }
  }
  network.base = unmapped(*address);
  if (network.base.family != address->family) {
    if (prefix < 96) return fail(shown + ": a mapped address needs a prefix of 96 or more");
    prefix -= 96;
  }
  network.prefix = static_cast<std::uint8_t>(prefix);
  for (std::size_t i = 0; i < sizeof network.base.ip; ++i) {
    network.base.ip[i] = static_cast<std::uint8_t>(network.base.ip[i] & mask_of(prefix, i));
  }
  return network;
}

std::string to_string(const Network& network) {
  return ip_to_string(network.base) + "/" + std::to_string(network.prefix);
}

bool NetworkList::contains(const Endpoint& address) const {
  return std::any_of(networks_.begin(), networks_.end(),
                     [&](const Network& network) { return network.contains(address); });
}

Result<NetworkList> parse_networks(std::string_view text) {
  NetworkList list;
  for (;;) {
    const std::string_view item = take_item(text);
    if (item.empty()) return list;
    if (add_group(item, list)) continue;
    const auto network = parse_network(item);
    if (!network) return tl::unexpected<Error>(network.error());
    list.add(*network);
  }
}

}  // namespace weir
