// What the origin's answer means for us: which sessions the master must know before the client may
// have it, where their media goes, and what the client is told instead. Pure. Owner: RtcReader.
// Errors: a text that names what is missing; the client gets a 502 then.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/result.h"

namespace weir::http {

// One flow for each pair of credentials: m-lines that are bundled share one.
struct RtcFlow {
  std::string username;  // STUN USERNAME of the client's requests: `answer-ufrag:offer-ufrag`
  std::string password;  // the answer's
  Endpoint media;        // where the origin takes it
  friend bool operator==(const RtcFlow&, const RtcFlow&) = default;
};

struct RtcMade {
  std::string sdp;  // for the client
  std::vector<RtcFlow> flows;
};

struct RtcAddresses {
  std::span<const Endpoint> udp;  // our public addresses
  std::span<const Endpoint> tcp;  // ... for ICE over TCP; empty: none
  Endpoint origin_api;            // where the origin was asked; its port does not count
  Endpoint origin_media;          // its registered WebRTC endpoint; empty: as its answer says
};

// Whether an offer, or the answer to a counter-offer, is an SDP with credentials that ICE takes
// (RFC 8839, section 5.4). Empty when it is, else what is wrong, with the name of the field.
std::string_view check_offer(std::string_view offer);
// The ufrag that the client's requests will name first; empty: none.
std::string offered_ufrag(std::string_view offer);
// `offer` and `answer` as they came.
Result<RtcMade> read_answer(std::string_view offer, std::string_view answer,
                            const RtcAddresses& addresses);

// The same for an origin that offers in its turn: one flow, whose second name comes with the
// client's answer.
Result<RtcMade> read_counter_offer(std::string_view offer, const RtcAddresses& addresses);

// Whether a PATCH's body is a fragment (RFC 8840) of attribute lines.
bool is_fragment(std::string_view body);
// The same for the answer to an ICE restart. A fragment without credentials has no flow.
Result<RtcMade> read_restart(std::string_view offer, std::string_view answer,
                             const RtcAddresses& addresses);

// ?eip=: a numeric address, with a port or without (then `port`). Empty if it is neither.
Endpoint wanted_address(std::string_view eip, std::uint16_t port);

}  // namespace weir::http
