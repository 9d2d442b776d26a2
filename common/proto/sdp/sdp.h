// Session descriptions (RFC 8866) as WebRTC exchanges them (RFC 8839, 8843), and the fragments of
// trickle ICE and ICE restarts (RFC 8840): what a proxy must know of them is extracted, and the
// candidates are replaced by public ones. Every other byte comes out as it went in, line ends, o=,
// c=, a=rtcp and the port of m= among them: ICE reads none of those. Pure, linear, bounded by
// limits.h. A Description holds views of the text that it was parsed from.
//
// Rewriting, per m-section:
//   - every a=candidate of the text is dropped: host, mDNS, reflexive, relay, UDP and TCP alike;
//   - where the first one stood, one line a public address is written, component 1 (RTP and RTCP
//     share a port in WebRTC), in the order given, which is the order of preference;
//   - a section without any gets them before a=end-of-candidates or at its end, if it has ICE
//     credentials and a transport of its own (not rejected, not a follower in a bundle); a text
//     whose last line has no end gets one then.
// With no public addresses at all the candidates are only dropped. A fragment without m-sections
// gets its lines among the attributes of the session; elsewhere candidates have no place there.
//
// Concealing is the other way: what an origin is told of its client. Every candidate goes, and the
// addresses of c=, a=rtcp and m= become the ones that say nothing (RFC 8840, section 4.1.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/limits.h"

namespace weir::sdp {

enum class SdpStatus : std::uint8_t {
  kOk,
  kNotSdp,    // does not begin with v=0; a fragment: is empty
  kTooLarge,  // one of the limits kSdp…
  kBadLine,   // not `letter=value`, a byte that no line may have, or (fragment) neither a= nor m=
  kBadMedia,  // an m= line without type, port and protocol
  kBadCredential,  // a ufrag or password that is empty, too long or not of visible ASCII
};
std::string_view to_string(SdpStatus status);

enum class Transport : std::uint8_t { kOther, kUdp, kTcp };
enum class CandidateType : std::uint8_t { kOther, kHost, kServerReflexive, kPeerReflexive, kRelay };

struct Candidate {
  Transport transport = Transport::kOther;
  CandidateType type = CandidateType::kOther;
  std::uint32_t component = 0;
  std::uint32_t priority = 0;
  std::string_view address;  // as written: an address, a name, `….local` for mDNS
  std::uint16_t port = 0;
  std::optional<Endpoint> endpoint;  // address and port, if the address is numeric
  std::string_view tcp_type;         // active, passive, so; empty for UDP
};

struct Media {
  std::string_view kind;      // audio, video, application
  std::string_view protocol;  // UDP/TLS/RTP/SAVPF
  std::uint16_t port = 0;     // 0: rejected, or bundle-only in an offer
  std::string_view mid;
  std::string_view ufrag;  // of the section, else of the session
  std::string_view password;
  std::string_view setup;        // active, passive, actpass; of the section, else of the session
  bool candidate_lines = false;  // has a=candidate, also if none could be read
  bool end_of_candidates = false;
  bool bundled = false;   // in a bundle group
  bool follower = false;  // uses the transport of another one of its group
  std::vector<Candidate> candidates;
};

struct Description {
  std::string_view ufrag;  // session level
  std::string_view password;
  std::string_view setup;
  bool ice_lite = false;
  bool end_of_candidates = false;                      // session level, in fragments
  std::vector<Candidate> candidates;                   // the same
  std::vector<std::vector<std::string_view>> bundles;  // mids of each a=group:BUNDLE
  std::vector<Media> media;
};

// `out` is replaced; on an error it is empty. `text` must outlive it.
SdpStatus parse_description(std::string_view text, Description& out);
// Of type application/trickle-ice-sdpfrag: attributes of the session, then m-sections.
SdpStatus parse_fragment(std::string_view text, Description& out);

// One ICE session: what its STUN requests will be known by. A ufrag that several sections name is
// reported once, since one port cannot tell their packets apart.
struct IceSession {
  std::string_view ufrag;
  std::string_view password;
  std::size_t section = 0;  // whose transport it is; 0 as well if there is none
  // The candidate to reach the writer of the description at: UDP, component 1, numeric, highest
  // priority. Empty if there is none; private and unspecified addresses are the caller's matter.
  std::optional<Endpoint> endpoint;
};
// In the order of the sections; those without credentials, rejected ones and followers left out. A
// fragment without sections yields the session's credentials.
std::vector<IceSession> ice_sessions(const Description& description);

struct PublicCandidates {
  std::span<const Endpoint> udp;
  std::span<const Endpoint> tcp;  // tcptype passive, after the UDP ones
};

// Replaces `out`; on an error it is empty.
SdpStatus rewrite_description(std::string_view text, const PublicCandidates& candidates,
                              std::string& out);
SdpStatus rewrite_fragment(std::string_view text, const PublicCandidates& candidates,
                           std::string& out);

// The same for what a client sends. `stand_in`: takes the place of the candidates of each section
// that had some, for origins that cannot begin without one; empty: nothing does.
SdpStatus conceal_description(std::string_view text, const Endpoint& stand_in, std::string& out);
SdpStatus conceal_fragment(std::string_view text, std::string& out);

}  // namespace weir::sdp
