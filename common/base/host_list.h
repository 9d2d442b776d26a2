// HostList: the names, addresses and page origins that an HTTP server is known by (control.hosts).
// Plain value. Pure: nothing is looked up. Also the parts of an authority (RFC 9110, 4.2) and of a
// page's Origin (RFC 6454, 6.2) as values that can be compared.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/result.h"

namespace weir {

// A host in one spelling: a name in lower case without the final dot, or an address.
struct Host {
  std::string name;  // empty: an address
  Endpoint address;  // unmapped, without a port
  friend bool operator==(const Host&, const Host&) = default;
};

struct Authority {
  Host host;
  std::uint16_t port = 0;  // 0: none was given
  friend bool operator==(const Authority&, const Authority&) = default;
};

// `name`, `name:port`, `1.2.3.4:port`, `[v6]:port`. Empty: none of these.
std::optional<Authority> parse_authority(std::string_view text);

// What a browser sends as Origin. Its port is always known: that of the scheme if none stands
// there.
struct PageOrigin {
  bool https = false;
  Authority authority;
  friend bool operator==(const PageOrigin&, const PageOrigin&) = default;
};
// Empty for `null` and all else that is no `http://` or `https://` and an authority.
std::optional<PageOrigin> parse_page_origin(std::string_view text);

class HostList {
 public:
  bool has(const Host& host) const;
  bool has(const PageOrigin& page) const;
  bool empty() const { return !any_ && hosts_.empty() && suffixes_.empty() && pages_.empty(); }
  // False when `item` is none of those below.
  bool add(std::string_view item);

 private:
  bool any_ = false;
  std::vector<Host> hosts_;
  std::vector<std::string> suffixes_;  // with the dot
  std::vector<PageOrigin> pages_;
};

// Separated by commas or white space: `name`, `*.name` (all below it), an address, `*` (all), or a
// page's origin, `https://console.example`. An empty text is an empty list.
Result<HostList> parse_host_list(std::string_view text);

}  // namespace weir
