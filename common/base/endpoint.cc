#include "common/base/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

#include "common/base/host_name.h"

namespace weir {
namespace {

constexpr std::array<std::pair<std::string_view, Scheme>, 10> kSchemes = {
    {{"tcp", Scheme::kTcp},
     {"udp", Scheme::kUdp},
     {"rtmp", Scheme::kRtmp},
     {"rtmps", Scheme::kRtmps},
     {"http", Scheme::kHttp},
     {"https", Scheme::kHttps},
     {"srt", Scheme::kSrt},
     {"rtc", Scheme::kRtc},
     {"webrtc", Scheme::kRtc},
     {"tls", Scheme::kTls}}};

std::string quoted(std::string_view text) {
  return "\"" + std::string(text.substr(0, 80)) + "\"";
}

Result<std::uint16_t> parse_port(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0 || value > 65535) {
    return fail("port " + quoted(text) + " is not a number from 1 to 65535");
  }
  return static_cast<std::uint16_t>(value);
}

Result<Endpoint> parse_host(std::string_view text, HostNames* names) {
  return names == nullptr ? parse_ip(text) : parse_origin_host(text, *names);
}

// `ip:port`, `[v6]:port`, `:port` or `port`; the address stays empty when it isn't given. Names in
// the place of addresses are taken with `names` only.
Result<Endpoint> parse_host_port(std::string_view text, HostNames* names) {
  Endpoint endpoint;
  std::string_view port = text;
  if (!text.empty() && text.front() == '[') {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos || close + 1 >= text.size() || text[close + 1] != ':') {
      return fail(quoted(text) + " is not [IPv6]:port");
    }
    auto ip = parse_ip(text.substr(0, close + 1));
    if (!ip) return ip;
    endpoint = *ip;
    port = text.substr(close + 2);
  } else if (const std::size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    if (text.find(':') != colon) {
      return fail(quoted(text) + ": an IPv6 address stands in brackets, as in [::1]:1935");
    }
    if (colon > 0) {
      auto ip = parse_host(text.substr(0, colon), names);
      if (!ip) return ip;
      endpoint = *ip;
    }
    port = text.substr(colon + 1);
  }
  auto number = parse_port(port);
  if (!number) return tl::unexpected<Error>(number.error());
  endpoint.port = *number;
  return endpoint;
}

}  // namespace

bool Endpoint::same_address(const Endpoint& other) const {
  return family == other.family && std::memcmp(ip, other.ip, sizeof ip) == 0;
}

bool Endpoint::is_loopback() const {
  if (family == Family::kIpv4) return ip[0] == 127;
  static constexpr std::uint8_t kV6Loopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return family == Family::kIpv6 && std::memcmp(ip, kV6Loopback, sizeof ip) == 0;
}

bool Endpoint::is_any() const {
  return std::all_of(std::begin(ip), std::end(ip), [](std::uint8_t byte) { return byte == 0; });
}

bool Endpoint::is_host() const {
  if (family == Family::kName) return true;
  if (empty() || is_any()) return false;
  return family == Family::kIpv4 ? ip[0] < 224 : ip[0] != 0xFF;
}

Result<Endpoint> parse_ip(std::string_view text) {
  std::string_view bare = text;
  if (bare.size() >= 2 && bare.front() == '[' && bare.back() == ']') {
    bare = bare.substr(1, bare.size() - 2);
  }
  Endpoint endpoint;
  char buffer[INET6_ADDRSTRLEN + 1];
  if (!bare.empty() && bare.size() < sizeof buffer) {
    std::memcpy(buffer, bare.data(), bare.size());
    buffer[bare.size()] = '\0';
    if (::inet_pton(AF_INET, buffer, endpoint.ip) == 1 && bare.size() == text.size()) {
      endpoint.family = Family::kIpv4;
      return endpoint;
    }
    if (::inet_pton(AF_INET6, buffer, endpoint.ip) == 1) {
      endpoint.family = Family::kIpv6;
      return endpoint;
    }
  }
  return fail(quoted(text) + " is not an IP address");
}

Result<Endpoint> parse_listen(std::string_view text) {
  auto endpoint = parse_host_port(text, nullptr);
  if (endpoint && endpoint->empty()) endpoint->family = Family::kIpv4;
  return endpoint;
}

Result<Endpoint> parse_origin_host(std::string_view text, HostNames& names) {
  auto ip = parse_ip(text);
  if (ip) return ip;
  if (!is_host_name(text)) return fail(quoted(text) + " is neither an IP address nor a host name");
  Endpoint endpoint;
  endpoint.ip[0] = names.add(text);
  if (endpoint.ip[0] == 0) return fail("more or longer host names than an origin can have");
  endpoint.family = Family::kName;
  return endpoint;
}

Result<Endpoint> parse_origin_endpoint(std::string_view text, const Endpoint& default_ip,
                                       HostNames* names) {
  Scheme scheme = Scheme::kDefault;
  std::string_view rest = text;
  if (const std::size_t mark = text.find("://"); mark != std::string_view::npos) {
    const std::string_view name = text.substr(0, mark);
    const auto* known = std::find_if(kSchemes.begin(), kSchemes.end(),
                                     [&](const auto& entry) { return entry.first == name; });
    if (known == kSchemes.end()) {
      return fail("unknown protocol " + quoted(name) + " in endpoint " + quoted(text));
    }
    scheme = known->second;
    rest = text.substr(mark + 3);
  }
  auto endpoint = parse_host_port(rest, names);
  if (!endpoint) return fail("endpoint " + quoted(text) + ": " + endpoint.error().text);
  if (endpoint->empty() || endpoint->is_any()) {
    if (default_ip.empty()) return fail("endpoint " + quoted(text) + " has no address");
    endpoint->family = default_ip.family;
    std::memcpy(endpoint->ip, default_ip.ip, sizeof endpoint->ip);
  }
  endpoint->scheme = scheme;
  return endpoint;
}

std::string ip_to_string(const Endpoint& endpoint) {
  char text[INET6_ADDRSTRLEN] = "";
  if (endpoint.family == Family::kIpv4) {  // by hand: it is done for every request
    char* at = text;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::uint8_t byte = endpoint.ip[i];
      if (i > 0) *at++ = '.';
      if (byte >= 100) *at++ = static_cast<char>('0' + byte / 100);
      if (byte >= 10) *at++ = static_cast<char>('0' + byte / 10 % 10);
      *at++ = static_cast<char>('0' + byte % 10);
    }
    return {text, at};
  }
  if (endpoint.family == Family::kIpv6) {
    ::inet_ntop(AF_INET6, endpoint.ip, text, sizeof text);
  }
  return text;
}

std::string to_string(const Endpoint& endpoint) {
  const std::string ip = ip_to_string(endpoint);
  const std::string port = std::to_string(endpoint.port);
  return endpoint.family == Family::kIpv6 ? "[" + ip + "]:" + port : ip + ":" + port;
}

std::string_view to_string(Scheme scheme) {
  for (const auto& [name, value] : kSchemes) {
    if (value == scheme) return name;
  }
  return "";
}

socklen_t to_sockaddr(const Endpoint& endpoint, sockaddr_storage& out) {
  std::memset(&out, 0, sizeof out);
  if (endpoint.family == Family::kIpv4) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    std::memcpy(&address.sin_addr, endpoint.ip, sizeof address.sin_addr);
    std::memcpy(&out, &address, sizeof address);
    return sizeof address;
  }
  if (endpoint.family == Family::kIpv6) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(endpoint.port);
    std::memcpy(&address.sin6_addr, endpoint.ip, sizeof address.sin6_addr);
    std::memcpy(&out, &address, sizeof address);
    return sizeof address;
  }
  return 0;
}

Endpoint from_sockaddr(const sockaddr_storage& address) {
  Endpoint endpoint;
  if (address.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    endpoint.family = Family::kIpv4;
    endpoint.port = ntohs(v4.sin_port);
    std::memcpy(endpoint.ip, &v4.sin_addr, sizeof v4.sin_addr);
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    endpoint.port = ntohs(v6.sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      endpoint.family = Family::kIpv4;
      std::memcpy(endpoint.ip, v6.sin6_addr.s6_addr + 12, 4);
    } else {
      endpoint.family = Family::kIpv6;
      std::memcpy(endpoint.ip, &v6.sin6_addr, sizeof v6.sin6_addr);
    }
  }
  return endpoint;
}

}  // namespace weir
