// The URL of a server of the operator's own, as an option gives it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace weir {

struct HttpUrl {
  std::string host;       // a name or a numeric address, without brackets
  std::string authority;  // as Host says it: with brackets and port where the URL has them
  std::uint16_t port = 80;
  std::string target = "/";  // path and query
};

// `http://host[:port][/path][?query]`. No other scheme, no user, no fragment.
Result<HttpUrl> parse_http_url(std::string_view text);

}  // namespace weir
