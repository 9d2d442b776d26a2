#include "common/base/public_address.h"

#include <algorithm>
#include <charconv>

#include "common/base/host_name.h"

namespace weir {
namespace {

bool parse_port(std::string_view text, std::uint16_t& port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port != 0;
}

Result<PublicAddress> parse_word(std::string_view word) {
  PublicAddress out;
  if (word == "auto" || word == "*") return out;
  if (const auto ip = parse_ip(word)) {
    out.kind = PublicAddress::Kind::kNumeric;
    out.address = *ip;
    return out;
  }
  const std::size_t colon = word.rfind(':');
  std::string_view host = word;
  std::uint16_t port = 0;
  if (colon != std::string_view::npos) {
    host = word.substr(0, colon);
    if (!parse_port(word.substr(colon + 1), port)) {
      return fail("\"" + std::string(word) + "\" has no port from 1 to 65535");
    }
  }
  if (const auto ip = parse_ip(host)) {
    out.kind = PublicAddress::Kind::kNumeric;
    out.address = *ip;
    out.address.port = port;
    return out;
  }
  if (!is_host_name(host)) {
    return fail("\"" + std::string(word) + "\" is neither an address nor a name");
  }
  out.kind = PublicAddress::Kind::kName;
  out.name = host;
  out.port = port;
  return out;
}

}  // namespace

Result<std::vector<PublicAddress>> parse_public_addresses(std::string_view text) {
  static constexpr std::string_view kSeparators = " \t,";
  std::vector<PublicAddress> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = text.find_first_not_of(kSeparators, at);
    if (begin == std::string_view::npos) break;
    at = std::min(text.find_first_of(kSeparators, begin), text.size());
    auto word = parse_word(text.substr(begin, at - begin));
    if (!word) return tl::unexpected(word.error());
    if (out.size() == kPublicAddressesMax) return fail("more than 16 addresses");
    out.push_back(std::move(*word));
  }
  if (out.empty()) out.emplace_back();
  return out;
}

}  // namespace weir
