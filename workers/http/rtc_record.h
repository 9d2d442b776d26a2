// RtcRecord: what an origin's answer means. The session that it makes, or changes, is recorded by
// the master first; only then the client hears of it. Owner: RtcSignal, whose calls it is about.
#pragma once

#include <string_view>

#include "workers/http/rtc_signal.h"

namespace weir::http {

class RtcRecord {
 public:
  using Call = RtcSignal::Call;
  using Stage = RtcSignal::Stage;

  explicit RtcRecord(RtcSignal& signal) : signal_(signal) {}

  // The origin has answered; the call may be over after each of these.
  void on_offer_answer(Call& call);
  void on_patch_answer(Call& call);
  void on_advice(Call& call);
  void on_flow_created(const ipc::FlowCreated& message);
  // The master does not record it: the client must not be led to a session that no worker knows.
  void refuse_record(Call& call, int status, std::string_view why);
  // Where the session that the offer has made can be ended.
  void note_location(Call& call) const;
  // Ends the session that the call's resource names, if its token is right.
  void end_flow(Call& call);
  void end_flow(ipc::FlowRef flow);

 private:
  void on_sdp_accepted(Call& call);
  void on_restart_answer(Call& call);
  Result<RtcMade> read_made(Call& call, std::string_view sdp) const;
  RtcAddresses addresses_for(const Call& call) const;
  void record_next(Call& call);
  void send_credentials(Call& call, const RtcFlow& flow);
  void recorded(Call& call);
  bool find_flow(Call& call) const;

  RtcSignal& signal_;
};

}  // namespace weir::http
