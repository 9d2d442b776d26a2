#include "workers/http/location_origin.h"

#include <algorithm>
#include <charconv>

#include "common/base/ascii.h"
#include "common/proto/http/fields.h"
#include "common/route/http_target.h"
#include "ipc/origin_walk.h"

namespace weir::http {
namespace {

constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kHttpsPort = 443;

// `port`: what stands behind the colon.
std::uint16_t read_port(std::string_view text) {
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  return error == std::errc() && stop == end ? port : std::uint16_t{0};
}

// Whether the endpoint's address, or its name, is `host`.
bool is_at(const ipc::OriginRecord& record, const Endpoint& endpoint, std::string_view host) {
  if (const auto address = parse_ip(host)) return address->same_address(endpoint);
  for (std::size_t number = 1; number <= record.hosts.count(); ++number) {
    if (record.hosts.at(number) == host && record.addresses[number - 1].same_address(endpoint)) {
      return true;
    }
  }
  return false;
}

}  // namespace

Authority authority_of(std::string_view location) {
  Authority out;
  const std::size_t mark = location.find("//");
  const std::size_t first = std::min(location.find_first_of("/?#"), location.size());
  if (mark == std::string_view::npos || mark != first) return out;
  const std::string_view scheme = location.substr(0, mark);
  const bool secure = same_ignoring_case(scheme, "https:");
  if (!scheme.empty() && !secure && !same_ignoring_case(scheme, "http:")) return out;
  location.remove_prefix(mark + 2);
  out.text = location.substr(0, location.find_first_of("/?#\\"));
  std::string_view host = out.text;
  const std::size_t end = host.starts_with('[') ? std::min(host.find(']'), host.size() - 1) + 1
                                                : std::min(host.find(':'), host.size());
  std::string_view port = host.substr(end);
  host = host.substr(0, end);
  if (host.starts_with('[')) host = host.substr(1, host.find(']') - 1);
  out.host = route::canonical_host(host);
  if (port.starts_with(':')) port.remove_prefix(1);
  out.port = port.empty() ? (secure ? kHttpsPort : kHttpPort) : read_port(port);
  return out;
}

std::optional<OriginAt> find_origin_at(const ipc::StateView& state, ipc::EndpointKind kind,
                                       const Authority& there) {
  const auto which = static_cast<std::size_t>(kind);
  std::optional<OriginAt> found;
  ipc::any_origin(state, [&](ipc::OriginRef ref, const ipc::OriginRecord& record) {
    for (std::size_t i = 0; i < record.endpoint_count[which]; ++i) {
      const Endpoint& endpoint = record.endpoints[which][i];
      if (endpoint.port == there.port && is_at(record, endpoint, there.host)) {
        found = OriginAt{ref, endpoint};
        return true;
      }
    }
    return false;
  });
  return found;
}

}  // namespace weir::http
