#include "common/base/http_url.h"

#include <algorithm>
#include <charconv>

#include "common/base/endpoint.h"
#include "common/base/host_name.h"

namespace weir {
namespace {

constexpr std::string_view kScheme = "http://";

bool is_target_char(char c) {
  return c > 0x20 && c < 0x7F && c != '#' && c != '"' && c != '\\';
}

// Splits `host:port` or `[v6]:port`. False: it is neither.
bool split_authority(std::string_view text, std::string_view& host, std::string_view& port) {
  const bool bracketed = text.starts_with("[");
  const std::size_t end = bracketed ? text.find(']') : std::min(text.find(':'), text.size());
  if (end == text.npos) return false;
  host = bracketed ? text.substr(1, end - 1) : text.substr(0, end);
  const std::string_view rest = text.substr(bracketed ? end + 1 : end);
  port = rest.empty() ? rest : rest.substr(1);
  return rest.empty() || (rest.front() == ':' && !port.empty());
}

}  // namespace

Result<HttpUrl> parse_http_url(std::string_view text) {
  if (!text.starts_with(kScheme)) return fail("a URL here begins with http://");
  std::string_view rest = text.substr(kScheme.size());
  HttpUrl url;
  url.authority = rest.substr(0, rest.find_first_of("/?"));
  rest.remove_prefix(url.authority.size());
  std::string_view host;
  std::string_view port;
  if (!split_authority(url.authority, host, port) || (!parse_ip(host) && !is_host_name(host))) {
    return fail("the URL has no valid host");
  }
  url.host = host;
  if (!port.empty()) {
    const char* end = port.data() + port.size();
    const auto [stop, error] = std::from_chars(port.data(), end, url.port);
    if (error != std::errc{} || stop != end || url.port == 0) {
      return fail("the URL has no valid port");
    }
  }
  if (!std::all_of(rest.begin(), rest.end(), is_target_char)) {
    return fail("the URL has a character that must be escaped");
  }
  if (!rest.empty()) url.target = rest.front() == '?' ? "/" + std::string(rest) : std::string(rest);
  return url;
}

}  // namespace weir
