#include "workers/http/rtc_redirect.h"

#include "workers/http/rtc_plan_session.h"

namespace weir::http {
namespace {

constexpr std::size_t kRedirectsMax = 2;

// Those that keep method and body.
bool is_followed(int status) {
  return status == 307 || status == 308;
}

bool has_scheme(std::string_view location) {
  const std::size_t first = location.find_first_of(":/?#");
  return first != std::string_view::npos && location[first] == ':';
}

// Whether an origin that was asked as `host` means itself.
bool is_same_host(const Authority& there, std::string_view host) {
  const Authority asked = authority_of(std::string("//").append(host));
  if (there.host.empty() || there.host != asked.host) return false;
  // One address may have several servers; a name is the client's for all of them.
  return !parse_ip(there.host) || there.text == host;
}

}  // namespace

Result<RtcRedirect> read_redirect(const ipc::StateView& state, const ResponseHead& answer,
                                  std::string_view target, std::string_view host,
                                  std::size_t before) {
  if (!is_followed(answer.status)) return fail("it redirects with a status that is not followed");
  if (before >= kRedirectsMax) return fail("it redirects too often");
  const std::string_view location = answer.fields.get(HeaderId::kLocation);
  RtcRedirect out;
  out.target = resolve_location(location, target);
  if (!is_resource_path(std::string_view(out.target).substr(0, out.target.find('?')))) {
    return fail("it redirects to no path for signalling");
  }
  const Authority there = authority_of(location);
  if (!there.text.empty()) {
    out.origin = find_origin_at(state, ipc::EndpointKind::kApi, there);
  }
  if (!out.origin && (has_scheme(location) || !there.text.empty()) && !is_same_host(there, host)) {
    return fail("it redirects to a host that is no origin");
  }
  return out;
}

}  // namespace weir::http
