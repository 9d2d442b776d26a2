#include "workers/http/rtc_answer_session.h"

#include <algorithm>

#include "common/proto/sdp/sdp.h"

namespace weir::http {
namespace {

// An address that need not mean the origin's host here: unspecified, loopback, RFC 1918, RFC 6598,
// RFC 4193 and link-local ones.
bool is_private(const Endpoint& e) {
  if (e.is_any() || e.is_loopback()) return true;
  if (e.family == Family::kIpv6)
    return (e.ip[0] & 0xFE) == 0xFC || (e.ip[0] == 0xFE && e.ip[1] >= 0x80);
  return e.ip[0] == 10 || (e.ip[0] == 172 && (e.ip[1] & 0xF0) == 16) ||
         (e.ip[0] == 192 && e.ip[1] == 168) || (e.ip[0] == 169 && e.ip[1] == 254) ||
         (e.ip[0] == 100 && (e.ip[1] & 0xC0) == 64);
}

// Where the origin takes the media of one section. A candidate on the address that we have asked is
// surely reachable; else a public one; else the first one's port on that address.
Endpoint media_of(const sdp::Media& section, const Endpoint& origin_api) {
  const sdp::Candidate* first = nullptr;
  const sdp::Candidate* open = nullptr;
  for (const sdp::Candidate& candidate : section.candidates) {
    if (candidate.transport != sdp::Transport::kUdp || candidate.component > 1 ||
        candidate.port == 0 || candidate.type == sdp::CandidateType::kRelay) {
      continue;
    }
    if (candidate.endpoint && candidate.endpoint->same_address(origin_api)) {
      return *candidate.endpoint;
    }
    if (first == nullptr) first = &candidate;
    if (open == nullptr && candidate.endpoint && !is_private(*candidate.endpoint)) {
      open = &candidate;
    }
  }
  if (open != nullptr) return *open->endpoint;
  Endpoint out;
  if (first == nullptr) return out;
  out = origin_api;
  out.scheme = Scheme::kDefault;
  out.port = first->port;
  return out;
}

// The offer's credentials for what the answer says in the section with this index.
std::string_view offered_ufrag(const sdp::Description& offer, std::size_t section) {
  if (section < offer.media.size() && !offer.media[section].ufrag.empty()) {
    return offer.media[section].ufrag;
  }
  if (!offer.ufrag.empty() || offer.media.empty()) return offer.ufrag;
  return offer.media.front().ufrag;
}

// The flows of an answer. An answer without sections (a fragment) has credentials at most.
std::vector<RtcFlow> flows_of(const sdp::Description& offer, const sdp::Description& answer,
                              const RtcAddresses& addresses) {
  std::vector<RtcFlow> flows;
  for (const sdp::IceSession& session : sdp::ice_sessions(answer)) {
    const auto section =
        std::find_if(answer.media.begin(), answer.media.end(),
                     [&](const sdp::Media& media) { return media.ufrag == session.ufrag; });
    const auto index = static_cast<std::size_t>(section - answer.media.begin());
    const std::string_view offered = offered_ufrag(offer, index);
    if (offered.empty()) continue;
    RtcFlow flow;
    flow.username.append(session.ufrag).append(":").append(offered);
    flow.password = session.password;
    flow.media = addresses.origin_media;
    if (flow.media.empty() && section != answer.media.end()) {
      flow.media = media_of(*section, addresses.origin_api);
    }
    flows.push_back(std::move(flow));
  }
  return flows;
}

tl::unexpected<Error> wrong(std::string_view what, sdp::SdpStatus status) {
  return fail(std::string(what) + ": " + std::string(to_string(status)));
}

}  // namespace

std::string_view check_offer(std::string_view offer) {
  sdp::Description parsed;
  const sdp::SdpStatus status = sdp::parse_description(offer, parsed);
  if (status == sdp::SdpStatus::kTooLarge) return "the offer is too large";
  if (status != sdp::SdpStatus::kOk) return "the offer is no SDP";
  const bool has_credentials =
      !parsed.media.empty() &&
      std::any_of(parsed.media.begin(), parsed.media.end(),
                  [](const sdp::Media& media) { return !media.ufrag.empty(); });
  return has_credentials ? "" : "the offer has no ICE credentials";
}

Result<RtcMade> read_answer(std::string_view offer, std::string_view answer,
                            const RtcAddresses& addresses) {
  sdp::Description asked;
  sdp::Description given;
  sdp::SdpStatus status = sdp::parse_description(offer, asked);
  if (status != sdp::SdpStatus::kOk) return wrong("offer", status);
  status = sdp::parse_description(answer, given);
  if (status != sdp::SdpStatus::kOk) return wrong("answer", status);
  RtcMade made;
  made.flows = flows_of(asked, given, addresses);
  if (made.flows.empty()) return fail("it has no ICE credentials");
  for (const RtcFlow& flow : made.flows) {
    if (flow.media.empty()) return fail("it has no UDP candidate, and no rtc endpoint is known");
  }
  status = sdp::rewrite_description(answer, {addresses.udp, addresses.tcp}, made.sdp);
  if (status != sdp::SdpStatus::kOk) return wrong("answer", status);
  return made;
}

bool is_fragment(std::string_view body) {
  sdp::Description parsed;
  return sdp::parse_fragment(body, parsed) == sdp::SdpStatus::kOk;
}

Result<RtcMade> read_restart(std::string_view offer, std::string_view answer,
                             const RtcAddresses& addresses) {
  sdp::Description asked;
  sdp::Description given;
  sdp::SdpStatus status = sdp::parse_fragment(offer, asked);
  if (status != sdp::SdpStatus::kOk) return wrong("request", status);
  status = sdp::parse_fragment(answer, given);
  if (status != sdp::SdpStatus::kOk) return wrong("answer", status);
  RtcMade made;
  made.flows = flows_of(asked, given, addresses);
  status = sdp::rewrite_fragment(answer, {addresses.udp, addresses.tcp}, made.sdp);
  if (status != sdp::SdpStatus::kOk) return wrong("answer", status);
  return made;
}

Endpoint wanted_address(std::string_view eip, std::uint16_t port) {
  if (auto ip = parse_ip(eip)) {
    ip->port = port;
    return *ip;
  }
  const auto endpoint = parse_listen(eip);
  return endpoint && eip.find(':') != std::string_view::npos && !eip.starts_with(':') ? *endpoint
                                                                                      : Endpoint{};
}

}  // namespace weir::http
