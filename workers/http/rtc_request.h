// What a client asks for by WebRTC signalling, read as far as Weir must understand it, and what of
// it an origin gets. Owner: RtcSignal. Pure but for cJSON. Errors: a text for the client's 400.
#pragma once

#include <string>
#include <string_view>

#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "workers/http/rtc_json.h"
#include "workers/http/rtc_plan_session.h"

namespace weir::http {

struct RtcRequest {
  RtcPlan plan;
  Method method = Method::kPost;
  SessionId session = 0;  // of the client's connection, for logs
  Endpoint client;
  std::string base;  // scheme, host and prefix that lead the client back to us
  std::string page;  // Referer, for the operator's hooks
  std::string head;  // for the origin, up to and without Content-Length and the empty line
  std::string body;
};

// An offer, or the client's answer to a counter-offer.
struct RtcOffer {
  std::string sdp;         // the client's
  SrsOffer srs;            // SRS's JSON: the whole body
  std::string stream_url;  // and the address in it, as it is sent on
};

// Empty, or what is wrong. Of SRS's JSON the body completes the plan, which names no stream before.
std::string read_offer(RtcRequest& request, RtcOffer& into);

// What the origin gets. `local`: our end of the connection to it.
std::string body_for_origin(const RtcRequest& request, const RtcOffer& offer,
                            const Endpoint& local);

// The value of a field in the head of a request, up to its line's end; empty if there is none.
std::string_view field_of(std::string_view head, std::string_view name);

}  // namespace weir::http
