// RtcRoom: WebRTC signalling on the API port (docs/WEBRTC.md): requests and their bodies go to
// RtcSignal, and its answers to the clients. Owner: HttpWorker.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "workers/core/http_room.h"
#include "workers/http/http_process.h"
#include "workers/http/rtc_signal.h"

namespace weir::http {

class RtcRoom : public Room {
 public:
  RtcRoom(const Process& process, const std::optional<ipc::FlowView>& flows,
          SessionId& next_session);

  bool begin(std::uint32_t index, const RequestHead& head, Exchange& basics) override;
  void on_body(std::uint32_t index, std::string&& body) override;
  void refuse_body(std::uint32_t index, int status, std::string_view why) override;
  void on_end(std::uint32_t index, EndReason reason) override;

  // False: it is not for signalling.
  bool on_route_answer(const ipc::RouteAnswer& message) { return signal_.on_route_answer(message); }
  void on_flow_created(const ipc::FlowCreated& message) { signal_.on_flow_created(message); }
  void on_flow_abandoned(const ipc::FlowAbandoned& message) { signal_.on_flow_abandoned(message); }

 private:
  struct RtcExchange;

  RtcExchange& exchange(std::uint32_t index);
  void take(std::uint32_t index, const RequestHead& head, RtcPlan&& plan);
  void on_answer(std::uint64_t owner, const RtcAnswer& what);
  void refuse(std::uint32_t index, const RtcPlan& plan, int status, std::string_view why,
              bool close);
  void answer(std::uint32_t index, const RtcAnswer& what, bool close);

  Process process_;
  Server& server_;
  RtcSignal signal_;
};

}  // namespace weir::http
