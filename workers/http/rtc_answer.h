// What a client of WebRTC signalling is answered: Weir's own words, or the origin's as far as they
// are for the client. Owner: the caller. Pure but for cJSON.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/proto/http/collected_response.h"
#include "ipc/messages.h"
#include "workers/http/rtc_plan_session.h"

namespace weir::http {

struct RtcAnswer {
  int status = 200;
  std::string content_type;
  std::string body;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string_view allow;  // OPTIONS: the methods, for CORS
  // Of the request, for the access log.
  std::string key;
  ipc::OriginRef origin;
};

inline bool is_success(int status) {
  return status >= 200 && status < 300;
}

// An error in the form that the API has: JSON for SRS's, else text.
RtcAnswer rtc_error(RtcApi api, int status, std::string_view why);
// To OPTIONS, without CORS.
RtcAnswer rtc_preflight(std::string_view allow);
// The same with the ICE servers that an origin names (RFC 9725, section 4.6), and, if `cors`, with
// what it allows pages of other sites.
RtcAnswer rtc_advice(std::string_view allow, const ResponseHead& head, bool cors);
// An origin's answer without its body and its Location.
RtcAnswer copy_answer(const ResponseHead& head);

}  // namespace weir::http
