// StreamRoom: where an origin's Location leads (RFC 9110, 10.2.2). What names this origin, another
// one or the inner network comes back here, with a hint for the origin that will have it; other
// sites are the client's business.
#include <algorithm>
#include <array>

#include "common/base/network.h"
#include "common/proto/hls/pin_uri.h"
#include "workers/http/stream_room.h"

namespace weir::http {
namespace {

constexpr std::size_t kHttpKind = static_cast<std::size_t>(ipc::EndpointKind::kHttp);

struct Authority {
  std::string_view text;  // empty: a reference within this server
  std::string host;       // without port and brackets, in lower case
};

Authority authority_of(std::string_view location) {
  Authority out;
  const std::size_t mark = location.find("//");
  const std::size_t first = std::min(location.find_first_of("/?#"), location.size());
  if (mark == std::string_view::npos || mark != first) return out;
  const std::string_view scheme = location.substr(0, mark);
  if (!scheme.empty() && !equal_ignoring_case(scheme, "http:") &&
      !equal_ignoring_case(scheme, "https:")) {
    return out;
  }
  location.remove_prefix(mark + 2);
  out.text = location.substr(0, location.find_first_of("/?#\\"));
  std::string_view host = out.text;
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') - 1);
  } else {
    host = host.substr(0, host.find(':'));
  }
  out.host = route::canonical_host(host);
  return out;
}

// A name or an address that means nothing outside of the origin's network.
bool is_inner(const std::string& host) {
  static constexpr std::array<std::string_view, 8> kInner = {
      ".local", ".internal", ".localdomain", ".lan", ".home.arpa", ".svc", ".cluster", ".intranet"};
  static const NetworkList kInnerNetworks =
      parse_networks("private, loopback, 169.254.0.0/16, 100.64.0.0/10").value_or(NetworkList{});
  if (const auto address = parse_ip(host)) return kInnerNetworks.contains(*address);
  return host.find('.') == std::string::npos ||
         std::any_of(kInner.begin(), kInner.end(),
                     [&](std::string_view end) { return host.ends_with(end); });
}

}  // namespace

// The HTTP endpoint that has this address, of any origin.
std::optional<Endpoint> StreamRoom::origin_at(std::string_view authority) const {
  const auto& header = process_.state.header();
  std::uint32_t left = header.origins_used.load(std::memory_order_relaxed);
  for (std::uint32_t slot = 0; slot < header.origin_capacity && left > 0; ++slot) {
    ipc::OriginRecord record;
    if (!process_.state.read_origin(slot, record)) continue;
    --left;
    for (std::size_t i = 0; i < record.endpoint_count[kHttpKind]; ++i) {
      const Endpoint& endpoint = record.endpoints[kHttpKind][i];
      if (to_string(endpoint) == authority) return endpoint;
    }
  }
  return std::nullopt;
}

std::string StreamRoom::lead_here(const StreamExchange& x, std::string_view location) {
  const Authority there = authority_of(location);
  const Authority asked = authority_of("//" + x.sent_host);
  Endpoint endpoint = x.endpoint;
  if (!there.text.empty() && there.host != asked.host) {
    const auto known = origin_at(there.text);
    const bool same = there.host == ip_to_string(x.endpoint);
    if (!known && !same && !is_inner(there.host)) return std::string(location);
    if (known) endpoint = *known;
  }
  const std::array<std::string_view, 1> ours{there.text};
  hls::RewriteOptions options;
  options.path = x.path;
  options.authorities = ours;
  options.pin_name = route::kHintParameter;
  options.pin_for = [&](std::string_view scope) { return hints_.of(endpoint, scope); };
  hls::UriPinner pinner(options, hls::UriPinner::Markup::kPlain);
  std::string out;
  pinner.append(location, pinner.document_base(), hls::UriPinner::Pin::kAdd, out);
  // As absolute as it was.
  const bool absolute = !there.text.empty() && out.starts_with('/') && !out.starts_with("//");
  return absolute && !x.identity.host.empty() ? x.identity.base_url() + out : out;
}

}  // namespace weir::http
