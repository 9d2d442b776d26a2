#include "workers/http/rtc_reader.h"

#include "workers/core/origin_text.h"
#include "workers/http/rtc_answer.h"

namespace weir::http {
namespace {

constexpr std::size_t kRtc = static_cast<std::size_t>(ipc::EndpointKind::kRtc);
// WHEP: the origin offers instead of answering, and takes the client's answer by PATCH.
constexpr int kNotAcceptable = 406;

}  // namespace

RtcReader::RtcReader(const Config& config, Resolver& resolver, const ipc::StateView& state)
    : config_(config), state_(state), addresses_(config, resolver) {}

// The address that ?eip= names, if it counts.
Endpoint RtcReader::wanted(const RtcPlan& plan) const {
  return config_.rtc.eip ? wanted_address(plan.eip, config_.rtc.listen.port) : Endpoint{};
}

bool RtcReader::can_answer(const RtcPlan& plan) const {
  if (plan.step != RtcStep::kOffer && plan.step != RtcStep::kPatch) return true;
  return addresses_.known() || !wanted(plan).empty();
}

bool RtcReader::is_session(const ResponseHead& head, RtcApi api) {
  if (is_success(head.status)) return true;
  return head.status == kNotAcceptable && api == RtcApi::kWhep &&
         head.fields.has(HeaderId::kLocation) &&
         has_media_type(head.fields.get(HeaderId::kContentType), "application/sdp");
}

std::string RtcReader::read_location(const RtcRequest& request,
                                     const RtcOrigin::Outcome& answer) const {
  const ResponseHead& head = answer.response->head();
  if (is_json(request.plan.api)) return {};
  if (!is_success(head.status) && head.status != kNotAcceptable) return {};
  const std::string_view written = head.fields.get(HeaderId::kLocation);
  std::string location = resolve_location(written, answer.target);
  if (is_resource_path(std::string_view(location).substr(0, location.find('?')))) return location;
  LogLine(LogLevel::kWarn, "origin's Location cannot be passed on")
      .session(request.session)
      .field("stream", request.plan.key)
      .field("origin", origin_text(state_, answer.origin, answer.endpoint))
      .field("client", request.client)
      .field("location", written);
  return location;
}

RtcAddresses RtcReader::addresses_for(const RtcOrigin::Outcome& answer) const {
  RtcAddresses out;
  out.udp = addresses_.udp();
  out.tcp = addresses_.tcp();
  out.origin_api = answer.endpoint;
  ipc::OriginRecord record;
  if (!state_.read_origin(answer.origin, record)) return out;
  for (std::size_t i = 0; i < record.endpoint_count[kRtc]; ++i) {
    const Endpoint& media = record.endpoints[kRtc][i];
    if (media.scheme == Scheme::kTcp || media.scheme == Scheme::kTls) continue;
    out.origin_media = media;
    break;
  }
  return out;
}

Result<RtcMade> RtcReader::read_session(const RtcPlan& plan, std::string_view offer,
                                        std::string_view sdp,
                                        const RtcOrigin::Outcome& answer) const {
  const ResponseHead& head = answer.response->head();
  if (head.fields.has(HeaderId::kContentEncoding)) return fail("it is compressed");
  RtcAddresses addresses = addresses_for(answer);
  const Endpoint udp = wanted(plan);
  Endpoint tcp = udp;
  if (!udp.empty()) {
    addresses.udp = {&udp, 1};
    if (!addresses_.tcp().empty()) {
      tcp.port = addresses_.tcp().front().port;  // a port in ?eip= is that of UDP
      addresses.tcp = {&tcp, 1};
    }
  }
  return head.status == kNotAcceptable ? read_counter_offer(sdp, addresses)
                                       : read_answer(offer, sdp, addresses);
}

Result<RtcMade> RtcReader::read_new_credentials(std::string_view fragment,
                                                const RtcOrigin::Outcome& answer) const {
  return read_restart(fragment, answer.response->body(), addresses_for(answer));
}

}  // namespace weir::http
