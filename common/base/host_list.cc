#include "common/base/host_list.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/host_name.h"
#include "common/base/network.h"

namespace weir {
namespace {

constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";

std::optional<Host> parse_host(std::string_view text) {
  Host host;
  if (const auto address = parse_ip(text)) {
    host.address = unmapped(*address);
    return host;
  }
  if (!is_host_name(text)) return std::nullopt;
  if (text.ends_with('.')) text.remove_suffix(1);
  host.name = lower_case(text);
  return host;
}

}  // namespace

std::optional<Authority> parse_authority(std::string_view text) {
  const std::size_t bracket = text.starts_with('[') ? text.find(']') : 0;
  if (bracket == std::string_view::npos) return std::nullopt;
  const std::size_t colon = text.find(':', bracket);
  auto host = parse_host(text.substr(0, colon));
  if (!host) return std::nullopt;
  Authority authority{std::move(*host), 0};
  if (colon == std::string_view::npos || colon + 1 == text.size()) return authority;
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), authority.port);
  if (error != std::errc{} || end != port.data() + port.size() || authority.port == 0) {
    return std::nullopt;
  }
  return authority;
}

std::optional<PageOrigin> parse_page_origin(std::string_view text) {
  PageOrigin page;
  page.https = text.starts_with(kHttps);
  if (!page.https && !text.starts_with(kHttp)) return std::nullopt;
  auto authority = parse_authority(text.substr(page.https ? kHttps.size() : kHttp.size()));
  if (!authority) return std::nullopt;
  page.authority = std::move(*authority);
  if (page.authority.port == 0) page.authority.port = page.https ? 443 : 80;
  return page;
}

bool HostList::has(const Host& host) const {
  if (any_ || std::find(hosts_.begin(), hosts_.end(), host) != hosts_.end()) return true;
  return std::any_of(suffixes_.begin(), suffixes_.end(), [&](const std::string& suffix) {
    return host.name.size() > suffix.size() && host.name.ends_with(suffix);
  });
}

bool HostList::has(const PageOrigin& page) const {
  return std::find(pages_.begin(), pages_.end(), page) != pages_.end();
}

bool HostList::add(std::string_view item) {
  if (item == "*") return any_ = true;
  if (item.find("://") != std::string_view::npos) {
    auto page = parse_page_origin(item);
    if (page) pages_.push_back(std::move(*page));
    return page.has_value();
  }
  const bool below = item.starts_with("*.");
  auto host = parse_host(below ? item.substr(2) : item);
  if (!host || (below && host->name.empty())) return false;
  if (below) {
    suffixes_.push_back("." + host->name);
  } else {
    hosts_.push_back(std::move(*host));
  }
  return true;
}

Result<HostList> parse_host_list(std::string_view text) {
  HostList list;
  for (;;) {
    const std::string_view item = take_item(text);
    if (item.empty()) return list;
    if (list.add(item)) continue;
    return fail("\"" + std::string(item.substr(0, 80)) +
                "\" is no host, such as weir.example, *.example, 10.1.2.3, ::1 or "
                "https://console.example, without a port but behind https:// or http://");
  }
}

}  // namespace weir
