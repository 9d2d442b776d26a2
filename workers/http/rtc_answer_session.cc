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

// Where the origin takes the media. A candidate on the address that we have asked is surely
// reachable; else a public one; else the first one's port on that address.
class MediaAddress {
 public:
  explicit MediaAddress(const Endpoint& origin_api) : api_(origin_api) {}

  void consider(const std::vector<sdp::Candidate>& candidates) {
    for (const sdp::Candidate& candidate : candidates) {
      if (candidate.transport != sdp::Transport::kUdp || candidate.component > 1 ||
          candidate.port == 0 || candidate.type == sdp::CandidateType::kRelay) {
        continue;
      }
      if (first_ == nullptr) first_ = &candidate;
      if (!candidate.endpoint) continue;
      if (same_ == nullptr && candidate.endpoint->same_address(api_)) same_ = &candidate;
      if (open_ == nullptr && !is_private(*candidate.endpoint)) open_ = &candidate;
    }
  }

  Endpoint result() const {
    if (same_ != nullptr) return *same_->endpoint;
    if (open_ != nullptr) return *open_->endpoint;
    if (first_ == nullptr) return {};
    Endpoint out = api_;
    out.scheme = Scheme::kDefault;
    out.port = first_->port;
    return out;
  }

 private:
  const Endpoint& api_;
  const sdp::Candidate* first_ = nullptr;
  const sdp::Candidate* open_ = nullptr;
  const sdp::Candidate* same_ = nullptr;
};

// Of all sections that share the session's transport, its own first; some origins write the
// candidates of a bundle in another one, or before the first.
Endpoint media_of(const sdp::Description& answer, const sdp::IceSession& session,
                  const Endpoint& origin_api) {
  MediaAddress address(origin_api);
  if (session.section < answer.media.size()) {
    address.consider(answer.media[session.section].candidates);
  }
  if (address.result().empty()) {
    for (const sdp::Media& media : answer.media) {
      if (media.ufrag == session.ufrag) address.consider(media.candidates);
    }
  }
  if (address.result().empty()) address.consider(answer.candidates);
  return address.result();
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
    const std::string_view offered = offered_ufrag(offer, session.section);
    if (offered.empty()) continue;
    RtcFlow flow;
    flow.username.append(session.ufrag).append(":").append(offered);
    flow.password = session.password;
    flow.media = addresses.origin_media;
    if (flow.media.empty()) flow.media = media_of(answer, session, addresses.origin_api);
    flows.push_back(std::move(flow));
  }
  return flows;
}

// Stands for the ufrag of a client that has not answered yet.
constexpr std::string_view kNotAnswered = "not-answered-yet";

tl::unexpected<Error> wrong(std::string_view what, sdp::SdpStatus status) {
  return fail(std::string(what) + ": " + std::string(to_string(status)));
}

}  // namespace

std::string_view check_offer(std::string_view offer) {
  sdp::Description parsed;
  switch (sdp::parse_description(offer, parsed)) {
    case sdp::SdpStatus::kOk:
      break;
    case sdp::SdpStatus::kTooLarge:
      return "the SDP is too large";
    case sdp::SdpStatus::kBadMedia:
      return "the SDP has an m= line without type, port and protocol";
    case sdp::SdpStatus::kBadCredential:
      return "the SDP's ice-ufrag or ice-pwd has characters or a length that ICE does not have";
    case sdp::SdpStatus::kNotSdp:
    case sdp::SdpStatus::kBadLine:
      return "the body is no SDP";
  }
  bool any = false;
  for (const sdp::Media& media : parsed.media) {
    if (media.ufrag.empty()) continue;
    any = true;
    if (media.ufrag.size() < limits::kIceUfragMin) return "the SDP's ice-ufrag is too short";
    if (media.password.size() < limits::kIcePasswordMin) {
      return media.password.empty() ? "the SDP has no ice-pwd" : "the SDP's ice-pwd is too short";
    }
  }
  return any ? "" : "the SDP has no ICE credentials";
}

std::string offered_ufrag(std::string_view offer) {
  sdp::Description parsed;
  if (sdp::parse_description(offer, parsed) != sdp::SdpStatus::kOk) return {};
  const auto sessions = sdp::ice_sessions(parsed);
  return sessions.empty() ? std::string() : std::string(sessions.front().ufrag);
}

Result<RtcMade> read_counter_offer(std::string_view offer, const RtcAddresses& addresses) {
  sdp::Description given;
  sdp::SdpStatus status = sdp::parse_description(offer, given);
  if (status != sdp::SdpStatus::kOk) return wrong("counter-offer", status);
  const auto sessions = sdp::ice_sessions(given);
  if (sessions.size() != 1) return fail("a counter-offer needs one pair of ICE credentials");
  RtcMade made;
  RtcFlow& flow = made.flows.emplace_back();
  flow.username = std::string(sessions[0].ufrag) + ":" + std::string(kNotAnswered);
  flow.password = sessions[0].password;
  flow.media = addresses.origin_media;
  if (flow.media.empty()) flow.media = media_of(given, sessions[0], addresses.origin_api);
  if (flow.media.empty()) return fail("it has no UDP candidate, and no rtc endpoint is known");
  status = sdp::rewrite_description(offer, {addresses.udp, addresses.tcp}, made.sdp);
  if (status != sdp::SdpStatus::kOk) return wrong("counter-offer", status);
  return made;
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
