// RtcSignal: an origin sends a request elsewhere (307, 308; RFC 9725, section 4.5). It is followed
// where it leads to the same origin or to another one that Weir knows. The client hears nothing of
// it: what it would be told are addresses of the inner network.
#include <algorithm>
#include <string>

#include "workers/http/location_origin.h"
#include "workers/http/rtc_call.h"

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

std::string_view field_of(std::string_view head, std::string_view name) {
  for (std::size_t at = 0; (at = head.find("\r\n", at)) != std::string_view::npos;) {
    at += 2;
    const std::string_view line = head.substr(at, head.find("\r\n", at) - at);
    const std::size_t colon = std::min(line.find(':'), line.size());
    if (equal_ignoring_case(line.substr(0, colon), name)) {
      return trim(line.substr(std::min(colon + 1, line.size())));
    }
  }
  return {};
}

namespace {

// False: `wrong` says why not.
bool find_redirect(const ipc::StateView& state, RtcSignal::Call& call, std::string_view location,
                   std::string_view& wrong) {
  const std::string target = resolve_location(location, call.request.plan.target);
  const Authority there = authority_of(location);
  const auto known =
      there.text.empty() ? std::nullopt : find_origin_at(state, ipc::EndpointKind::kApi, there);
  if (++call.redirects > kRedirectsMax) {
    wrong = "it redirects too often";
  } else if (!is_resource_path(std::string_view(target).substr(0, target.find('?')))) {
    wrong = "it redirects to no path for signalling";
  } else if (!known && (has_scheme(location) || !there.text.empty()) &&
             !is_same_host(there, field_of(call.request.head, "Host"))) {
    wrong = "it redirects to a host that is no origin";
  } else {
    if (known) {
      call.origin = known->origin;
      call.endpoint = known->endpoint;
    }
    call.request.plan.target = target;
    return true;
  }
  return false;
}

}  // namespace

void RtcSignal::on_redirect(Call& call) {
  const ResponseHead& head = call.response->head();
  const std::string location(head.fields.get(HeaderId::kLocation));
  // Nothing has been made, and whom would it be for.
  if (call.silent && call.request.plan.step == RtcStep::kOffer) {
    finish(call, {});
    return;
  }
  std::string_view wrong = "it redirects with a status that is not followed";
  const std::string from = origin_text(call);
  const bool found =
      is_followed(head.status) && find_redirect(process_.state, call, location, wrong);
  LogLine(found ? LogLevel::kInfo : LogLevel::kWarn,
          found ? "origin's redirect is followed" : "origin's redirect cannot be followed")
      .session(call.request.session)
      .field("stream", call.request.plan.key)
      .field("origin", from)
      .field("client", to_string(call.request.client))
      .field("status", head.status)
      .field("location", location)
      .field("reason", found ? std::string_view() : wrong);
  if (!found) {
    fail(call, 502, "the origin redirects to where it cannot be followed");
    return;
  }
  std::string& text = call.request.head;
  text.replace(0, text.find("\r\n"),
               std::string(text, 0, text.find(' '))
                   .append(" ")
                   .append(call.request.plan.target)
                   .append(" HTTP/1.1"));
  dial(call, call.origin);
}

}  // namespace weir::http
