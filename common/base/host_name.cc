#include "common/base/host_name.h"

#include <algorithm>
#include <string>

namespace weir {
namespace {

constexpr std::size_t kLabelBytes = 63;  // RFC 1035, 2.3.4
constexpr std::uint16_t kDnsPort = 53;
constexpr std::string_view kSeparators = " \t,";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= kLabelBytes && label.front() != '-' &&
         label.back() != '-' && std::all_of(label.begin(), label.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' ||
                  c == '_';
         });
}

// What inet_aton() takes as a part of an address: decimal, octal or hexadecimal.
bool is_number(std::string_view label) {
  if (label.starts_with("0x") || label.starts_with("0X")) {
    return label.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string_view::npos;
  }
  return std::all_of(label.begin(), label.end(), is_digit);
}

}  // namespace

bool is_host_name(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > kHostNameBytes) return false;
  for (;;) {
    const std::size_t dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    if (!is_label(label)) return false;
    if (dot == std::string_view::npos) return !is_number(label);
    text.remove_prefix(dot + 1);
  }
}

std::string_view HostNames::at(std::size_t number) const {
  std::string_view rest(text, sizeof text);
  for (std::size_t i = 1; number > 0 && i <= kMax; ++i) {
    const std::size_t end = rest.find('\0');
    if (end == 0 || end == std::string_view::npos) return {};
    if (i == number) return rest.substr(0, end);
    rest.remove_prefix(end + 1);
  }
  return {};
}

std::size_t HostNames::count() const {
  std::size_t count = 0;
  while (count < kMax && !at(count + 1).empty()) ++count;
  return count;
}

std::uint8_t HostNames::add(std::string_view name) {
  std::size_t used = 0;
  std::uint8_t number = 1;
  for (; !at(number).empty(); ++number) {
    if (at(number) == name) return number;
    used += at(number).size() + 1;
  }
  if (number > kMax || name.empty() || used + name.size() + 1 > sizeof text) return 0;
  std::copy(name.begin(), name.end(), text + used);
  return number;
}

std::string to_string(const Endpoint& endpoint, const HostNames& names) {
  if (endpoint.family != Family::kName) return to_string(endpoint);
  return std::string(names.at(endpoint.ip[0])) + ":" + std::to_string(endpoint.port);
}

Result<std::vector<Endpoint>> parse_name_servers(std::string_view text) {
  std::vector<Endpoint> out;
  for (std::size_t at = text.find_first_not_of(kSeparators); at != std::string_view::npos;) {
    const std::size_t end = std::min(text.find_first_of(kSeparators, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    at = text.find_first_not_of(kSeparators, end);
    auto server = parse_ip(word);
    if (server) {
      server->port = kDnsPort;
    } else {
      server = parse_listen(word);
    }
    if (!server || !server->is_host()) {
      return fail("\"" + std::string(word.substr(0, 80)) +
                  "\" is not the address of a name server");
    }
    if (out.size() == kNameServersMax) return fail("more than 8 name servers");
    out.push_back(*server);
  }
  return out;
}

}  // namespace weir
