// One signalling request under way. Internal to RtcSignal, which owns it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/proto/http/collected_response.h"
#include "workers/core/side.h"
#include "workers/http/rtc_json.h"
#include "workers/http/rtc_signal.h"

namespace weir::http {

enum class RtcSignal::Stage : std::uint8_t {
  kAsking,     // asked the operator's own server (hooks)
  kDialing,    // OriginDialer has it
  kAnswering,  // the request is (being) sent
  kRecording,  // asked the master to record the session
};

struct RtcSignal::Call {
  RtcSignal* signal = nullptr;
  CallId id = 0;
  std::uint64_t owner = 0;
  bool silent = false;   // nobody waits for the answer
  bool removal = false;  // of a session that has ended here
  Stage stage = Stage::kDialing;
  RtcRequest request;
  std::string offer;       // the client's SDP
  SrsOffer srs_offer;      // SRS's JSON: the whole body
  std::string stream_url;  // and the address in it, as it is sent on
  SessionId session = 0;   // of what the offer makes
  bool let_in = false;     // the operator's server is told when it is over
  bool creating = false;   // the master has been asked for it, and tells of its end
  ipc::OriginRef origin;
  Endpoint endpoint;
  std::size_t redirects = 0;  // that were followed
  HookClient::Ticket hook = 0;
  OriginDialer::Ticket dial = 0;  // kDialing
  std::uint32_t master_request = 0;
  Side side;
  std::unique_ptr<CollectedResponse> response;
  EventPtr timer;
  // What the answer has made.
  SrsAnswer srs;
  RtcMade made;
  std::size_t recorded = 0;  // of made.flows
  SessionId group = 0;
  ipc::FlowRef flow;      // the first one; also that of a resource which is changed
  std::string flow_name;  // for its public address
  // Path and query of the session at the origin; of one that SRS's JSON has made, the address that
  // it publishes to.
  std::string location;
  // Of a removal by that address.
  bool searching = false;        // among the origin's clients
  std::size_t searched = 0;      // how many of them were looked at
  std::uint64_t created_ms = 0;  // the session
};

// The value of a field in the head of a request, up to its line's end; empty if there is none.
std::string_view field_of(std::string_view head, std::string_view name);

// The origin's answer without what is of one connection only, and without its body.
RtcAnswer copy_answer(const RtcSignal::Call& call);

inline bool is_success(int status) {
  return status >= 200 && status < 300;
}
// WHEP: the origin offers instead of answering, and takes the client's answer by PATCH.
inline constexpr int kNotAcceptable = 406;

}  // namespace weir::http
