// What a WebRTC signalling request on the API port asks for, and the addresses that lead such
// requests back to the origin that made the session. Pure. Owner: the caller; views are copied, so
// a plan outlives its request. Errors are plans too: kRefused carries the answer. docs/WEBRTC.md.
//
//   WHIP (RFC 9725), WHEP   POST an offer to /rtc/v1/whip/?app=&stream= or /whip/app/stream
//   SRS                     POST {"streamurl","sdp"} to /rtc/v1/publish/, /rtc/v1/play/
//   resource                what the origin's Location named: DELETE ends it, PATCH changes it
//
// A resource's address is the origin's own path and query with a hint beside them (origin_hint.h),
// so any worker of any Weir with the same secret understands it and nothing is stored. Its MAC
// covers the whole path, and no hint leads below /api/, whose requests have rules of their own.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/proto/http/head.h"
#include "common/route/alias.h"
#include "common/route/origin_hint.h"

namespace weir::http {

enum class RtcApi : std::uint8_t { kWhip, kWhep, kPublish, kPlay, kNack };
std::string_view to_string(RtcApi api);
// Whether the bodies are SRS's JSON rather than SDP.
inline bool is_json(RtcApi api) {
  return api != RtcApi::kWhip && api != RtcApi::kWhep;
}

enum class RtcStep : std::uint8_t {
  kElsewhere,  // no signalling: other code has the answer
  kRefused,    // status, error and allow are the answer
  kPreflight,  // OPTIONS: allow is the answer; of an endpoint: the origin may add to it
  kEmpty,      // GET, HEAD: a success without content (RFC 9725, section 4.1)
  kOffer,      // makes a session
  kPatch,      // of a resource: candidates, an ICE restart, or the answer to a counter-offer
  kRemove,     // of a resource
  kNack,       // SRS's simulated loss for one session
};

struct RtcPlan {
  RtcStep step = RtcStep::kElsewhere;
  RtcApi api = RtcApi::kWhip;
  bool publisher = false;
  int status = 0;
  std::string_view error;
  std::string_view allow;
  const route::Aliases* aliases = nullptr;
  std::string key;  // stream key, by the aliases; empty when the hint or the body names the origin
  std::string param;   // of an offer: the client's query, for the operator's hooks
  std::string target;  // path and query for the origin
  std::string host;    // Host for the origin; empty: the client's
  bool sdp = false;    // of a PATCH: its body is a description, not a fragment
  std::string eip;     // ?eip=: the candidate address that the client wants, as written
  std::optional<std::uint64_t> origin;  // fingerprint of the API endpoint, from a sound hint
  std::string flow;                     // of a resource: parse_flow_name()
};

struct RtcPlanSettings {
  route::HintKey hint_key;
  std::string_view whip_path;  // rtc.whip_path
  std::string_view whep_path;
  const route::Aliases* aliases = nullptr;  // none: names are as they are
};

RtcPlan plan_rtc(const RequestHead& head, const RtcPlanSettings& settings);

// The stream that SRS's `streamurl` (webrtc://host[:port]/app/stream[?query]) names: plan.key and
// plan.eip. Returns the address to send on, which cannot be read otherwise. Without a sound one the
// plan becomes kRefused.
std::string plan_stream_url(RtcPlan& plan, std::string_view url);

// `path` is rtc.whip_path or rtc.whep_path: [vhost], [app] and [stream] stand for the parts of the
// key. Parameters with one of these come first and win; the client's query, which stays as written,
// wins over the others.
std::string expand_origin_path(std::string_view path, std::string_view key_vhost,
                               std::string_view key_app, std::string_view key_stream,
                               std::string_view client_query);

// ---- resources

// The origin's Location, whatever its form, as `/path?query` at the origin that gave it, without
// dot segments (RFC 3986, section 5.2) and with all but ASCII escaped; `request_target` is what it
// had been asked. Empty if it is none.
std::string resolve_location(std::string_view location, std::string_view request_target);
// Whether a hint may lead there.
bool is_resource_path(std::string_view path);
// `base` (scheme, host, prefix) + target + the hint for the origin with this fingerprint + the name
// of the flow (print_flow_name) if there is one.
std::string public_location(std::string_view base, std::string_view target,
                            const route::HintKey& key, std::uint64_t fingerprint,
                            std::string_view flow_name);
// The entry of the session table that a resource belongs to; the token proves that whoever asks has
// got the address from us.
struct FlowName {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  std::array<std::uint8_t, 16> token{};
  friend bool operator==(const FlowName&, const FlowName&) = default;
};
inline constexpr std::string_view kFlowParameter = "weir-session";
std::string print_flow_name(const FlowName& name);  // 48 hexadecimal digits
std::optional<FlowName> parse_flow_name(std::string_view text);
// Path prefix that a trusted proxy has taken off (X-Forwarded-Prefix); empty if it is unsound.
std::string_view public_prefix(std::string_view field);

// ---- pieces

// Whether a Content-Type names this media type, whatever its parameters.
bool has_media_type(std::string_view field, std::string_view type);
// Whether the Accept fields, if there are any, take it (RFC 9110, section 12.5.1).
bool accepts(const Fields& fields, std::string_view type);

}  // namespace weir::http
