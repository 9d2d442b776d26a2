#include "workers/http/rtc_request.h"

#include <algorithm>
#include <utility>

#include "common/base/ascii.h"
#include "common/proto/sdp/sdp.h"
#include "workers/http/rtc_answer_session.h"

namespace weir::http {
namespace {

constexpr std::uint16_t kDiscardPort = 9;  // RFC 863

std::string read_srs_body(RtcRequest& request, RtcOffer& into) {
  auto offer = read_srs_offer(request.body);
  if (!offer) return offer.error().text;
  into.sdp = offer->sdp;
  into.srs = std::move(*offer);
  RtcPlan& plan = request.plan;
  into.stream_url = plan_stream_url(plan, into.srs.stream_url);
  return plan.step == RtcStep::kRefused ? std::string(plan.error) : std::string();
}

}  // namespace

std::string read_offer(RtcRequest& request, RtcOffer& into) {
  const RtcPlan& plan = request.plan;
  const bool offer = plan.step == RtcStep::kOffer;
  if (plan.step == RtcStep::kPatch && !plan.sdp) {
    return is_fragment(request.body) ? "" : "the body is no SDP fragment";
  }
  if (!offer && plan.step != RtcStep::kPatch) return {};
  into.sdp = request.body;
  if (offer && is_json(plan.api)) {
    if (std::string wrong = read_srs_body(request, into); !wrong.empty()) return wrong;
  }
  return std::string(check_offer(into.sdp));
}

// The origin is not told where the client may be reached: its checks and media would else go round
// Weir. One that begins nothing without a candidate gets an address of this host at the port that
// nobody serves; it learns the true one from the client's checks.
std::string body_for_origin(const RtcRequest& request, const RtcOffer& offer,
                            const Endpoint& local) {
  const RtcPlan& plan = request.plan;
  std::string sdp;
  if (plan.step == RtcStep::kPatch) {
    if (plan.sdp) {
      sdp::conceal_description(offer.sdp, {}, sdp);
    } else {
      sdp::conceal_fragment(request.body, sdp);
    }
    return sdp;
  }
  if (plan.step != RtcStep::kOffer) return request.body;
  Endpoint stand_in = unmapped(local);
  stand_in.port = kDiscardPort;
  sdp::conceal_description(offer.sdp, stand_in, sdp);
  if (!is_json(plan.api)) return sdp;
  return print_srs_offer(offer.srs, offer.stream_url, sdp, ip_to_string(request.client));
}

std::string_view field_of(std::string_view head, std::string_view name) {
  for (std::size_t at = 0; (at = head.find("\r\n", at)) != std::string_view::npos;) {
    at += 2;
    const std::string_view line = head.substr(at, head.find("\r\n", at) - at);
    const std::size_t colon = std::min(line.find(':'), line.size());
    if (same_ignoring_case(line.substr(0, colon), name)) {
      return trim(line.substr(std::min(colon + 1, line.size())));
    }
  }
  return {};
}

}  // namespace weir::http
