#include "common/net/public_addresses.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "common/base/log.h"
#include "common/base/public_address.h"

namespace weir::net {
namespace {

Endpoint from_address(const sockaddr* address) {
  sockaddr_storage storage{};
  if (address == nullptr) return {};
  if (address->sa_family == AF_INET) {
    std::memcpy(&storage, address, sizeof(sockaddr_in));
  } else if (address->sa_family == AF_INET6) {
    std::memcpy(&storage, address, sizeof(sockaddr_in6));
  } else {
    return {};
  }
  Endpoint endpoint = from_sockaddr(storage);
  endpoint.port = 0;
  return endpoint;
}

bool is_link_local(const Endpoint& e) {
  return e.family == Family::kIpv4 ? e.ip[0] == 169 && e.ip[1] == 254
                                   : e.ip[0] == 0xFE && (e.ip[1] & 0xC0) == 0x80;
}

void add(std::vector<Endpoint>& all, Endpoint endpoint, std::uint16_t port) {
  if (endpoint.port == 0) endpoint.port = port;
  if (std::find(all.begin(), all.end(), endpoint) == all.end()) all.push_back(endpoint);
}

void add_name(std::vector<Endpoint>& all, const PublicAddress& wanted, const Endpoint& listen,
              const NameLookup& lookup) {
  for (Endpoint endpoint : lookup(wanted.name)) {
    endpoint.port = wanted.port;
    if (listen.takes(endpoint.family)) add(all, endpoint, listen.port);
  }
}

void add_host(std::vector<Endpoint>& all, const Endpoint& listen) {
  if (!listen.is_any()) {
    add(all, listen, listen.port);
    return;
  }
  for (const Endpoint& endpoint : find_host_addresses(listen)) add(all, endpoint, listen.port);
}

}  // namespace

std::vector<Endpoint> find_host_addresses(const Endpoint& listen) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) {
    LogLine(LogLevel::kError, "cannot list this host's addresses")
        .field("error", std::strerror(errno));
    return {};
  }
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  std::vector<Endpoint> good;
  std::vector<Endpoint> rest;
  for (const ifaddrs* row = list; row != nullptr; row = row->ifa_next) {
    if ((row->ifa_flags & IFF_UP) == 0) continue;
    const Endpoint endpoint = from_address(row->ifa_addr);
    if (endpoint.empty() || !listen.takes(endpoint.family)) continue;
    (endpoint.is_loopback() || is_link_local(endpoint) ? rest : good).push_back(endpoint);
  }
  return good.empty() ? rest : good;
}

std::vector<Endpoint> find_public_addresses(std::string_view text, const Endpoint& listen,
                                            const NameLookup& lookup) {
  std::vector<Endpoint> all;
  const auto words = parse_public_addresses(text);
  if (words) {
    for (const PublicAddress& word : *words) {
      switch (word.kind) {
        case PublicAddress::Kind::kAuto:
          add_host(all, listen);
          break;
        case PublicAddress::Kind::kNumeric:
          // A balancer in front may take another family than we do.
          add(all, word.address, listen.port);
          break;
        case PublicAddress::Kind::kName:
          add_name(all, word, listen, lookup);
          break;
      }
    }
  }
  return all;
}

}  // namespace weir::net
