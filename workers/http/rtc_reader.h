// RtcReader: what an origin's answer means in this process: the session that it has made, where
// that can be ended, and with which of our addresses the client is told of it. Asks nobody and
// changes nothing. Owner: RtcSignal. Errors: a text for the log; the client gets a 502 then.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/config/config.h"
#include "ipc/route_reader.h"
#include "workers/core/resolver.h"
#include "workers/http/rtc_addresses.h"
#include "workers/http/rtc_answer_session.h"
#include "workers/http/rtc_origin.h"
#include "workers/http/rtc_request.h"

namespace weir::http {

class RtcReader {
 public:
  // All outlive this.
  RtcReader(const Config& config, Resolver& resolver, const ipc::StateView& state);

  // Whether the answer could name where the client is to send, if it must.
  bool can_answer(const RtcPlan& plan) const;
  // Whether the origin takes the offer: it answers it, or offers in its turn (WHEP).
  static bool is_session(const ResponseHead& head, RtcApi api);
  // Path and query of the session at the origin; empty: the answer names none.
  std::string read_location(const RtcRequest& request, const RtcOrigin::Outcome& answer) const;
  // `sdp`: of the answer to `offer`.
  Result<RtcMade> read_session(const RtcPlan& plan, std::string_view offer, std::string_view sdp,
                               const RtcOrigin::Outcome& answer) const;
  // `fragment`: what the client has sent.
  Result<RtcMade> read_new_credentials(std::string_view fragment,
                                       const RtcOrigin::Outcome& answer) const;

 private:
  Endpoint wanted(const RtcPlan& plan) const;
  RtcAddresses addresses_for(const RtcOrigin::Outcome& answer) const;

  const Config& config_;
  const ipc::StateView& state_;
  RtcAddressBook addresses_;
};

}  // namespace weir::http
