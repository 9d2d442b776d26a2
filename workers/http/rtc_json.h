// SRS's JSON signalling: what an offer says, and an answer whose SDP is replaced. Everything else
// of an answer stays as the origin wrote it, as far as JSON can tell. Owner: RtcSignal. Pure but
// for cJSON. Errors: a text that names what is missing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "workers/http/api_merge.h"

namespace weir::http {

struct SrsOffer {
  ApiJson json;
  std::string stream_url;
  std::string sdp;
};
// No member may stand there twice: parsers differ in which one they take.
Result<SrsOffer> read_srs_offer(std::string_view body);
// The offer for the origin, written anew from what was understood. `client_ip` takes the place of
// what the client says of itself.
std::string print_srs_offer(const SrsOffer& offer, std::string_view stream_url,
                            std::string_view sdp, std::string_view client_ip);

struct SrsAnswer {
  ApiJson json;
  bool ok = false;  // `code` is 0, and there is an SDP
  std::string sdp;
};
// Fails only when the body is no JSON object: an error of the origin's is an answer, too.
Result<SrsAnswer> read_srs_answer(std::string_view body);
// The answer's text with another SDP.
std::string with_sdp(const SrsAnswer& answer, std::string_view sdp);

// A page of SRS's /api/v1/clients/.
struct SrsClients {
  std::size_t count = 0;  // of the page
  std::string id;         // of the one that publishes to an address; empty: it is not there
  std::uint64_t connected_ms = 0;  // for how long it has been there
};
// `stream_url` without a query, as it was sent to the origin. SRS tells it as `tcUrl` and `name`.
Result<SrsClients> find_srs_publisher(std::string_view body, std::string_view stream_url);

}  // namespace weir::http
