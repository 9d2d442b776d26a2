// StreamRoom: where an origin's Location leads (RFC 9110, 10.2.2). What names this origin, another
// one or the inner network comes back here, with a hint for the origin that will have it; other
// sites are the client's business.
#include <algorithm>
#include <array>

#include "common/base/network.h"
#include "common/proto/hls/pin_uri.h"
#include "workers/http/location_origin.h"
#include "workers/http/stream_room.h"

namespace weir::http {
namespace {

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

std::string StreamRoom::lead_here(const StreamExchange& x, std::string_view location) {
  const Authority there = authority_of(location);
  const Authority asked = authority_of("//" + x.sent_host);
  Endpoint endpoint = x.endpoint;
  if (!there.text.empty() && there.host != asked.host) {
    const auto known = find_origin_at(process_.state, ipc::EndpointKind::kHttp, there);
    const bool same = there.host == ip_to_string(x.endpoint);
    if (!known && !same && !is_inner(there.host)) return std::string(location);
    if (known) endpoint = known->endpoint;
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
