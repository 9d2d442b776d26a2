// RtcSignal: carries WebRTC signalling to the origins (docs/WEBRTC.md): finds the origin by stream
// key or by the resource's hint, sends it the request, has the master record the session that the
// answer makes, and only then gives the answer, rewritten, back. Owner: HttpWorker. A call belongs
// to this object from start() until it is answered or cancelled.
//
//   kAsking -> kDialing -> kAnswering -> kRecording -> answered
//              OriginDialer    an offer goes to one origin only: it may have made a session even if
//                              the answer never came
//
// A session that the origin has made and nobody can use is ended there by DELETE at once, so that
// the next try finds its place free: the answer cannot be used, came too late, or found its client
// gone; the master refuses. A call without a client goes on until that is done.
//
// Bounds: calls at once, bytes of a body. Errors are answers with a status and a reason.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "common/config/config.h"
#include "ipc/counters.h"
#include "ipc/flow_messages.h"
#include "ipc/flow_reader.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "workers/core/event_ptr.h"
#include "workers/core/hook_client.h"
#include "workers/core/master_link.h"
#include "workers/core/origin_dialer.h"
#include "workers/core/origin_tls.h"
#include "workers/core/poller.h"
#include "workers/http/rtc_addresses.h"
#include "workers/http/rtc_answer_session.h"
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
// An error in the form that the API has: JSON for SRS's, else text.
RtcAnswer rtc_error(RtcApi api, int status, std::string_view why);
// To OPTIONS, without CORS.
RtcAnswer rtc_preflight(std::string_view allow);

class RtcRecord;
class RtcRemover;

class RtcSignal {
 public:
  using CallId = std::uint64_t;  // never 0
  // `owner` as given to start().
  using OnAnswer = std::function<void(std::uint64_t owner, const RtcAnswer& answer)>;

  struct Process {  // what the worker shares with this; all outlive it
    event_base* base;
    const Config& config;
    const ipc::StateView& state;
    const std::optional<ipc::FlowView>& flows;  // the session table
    MasterLink& link;
    ipc::Counters& counters;
    HookClient& hooks;
    Resolver& resolver;
    OriginTls& tls;
    SessionId& next_session;
  };
  RtcSignal(const Process& process, const route::HintKey& hint_key, OnAnswer on_answer);
  ~RtcSignal();

  // 0: it has been answered already.
  CallId start(std::uint64_t owner, RtcRequest request);
  // The client has left. What was made for it is taken back, also when the origin says so later.
  void cancel(CallId call);
  // False: it is not for a call of this object.
  bool on_route_answer(const ipc::RouteAnswer& message);
  void on_flow_created(const ipc::FlowCreated& message);
  // A session has ended here in another way than by DELETE: its origin is told.
  void on_flow_abandoned(const ipc::FlowAbandoned& message);
  std::size_t size() const { return calls_.size(); }

  // rtc_call.h
  struct Call;
  enum class Stage : std::uint8_t;

 private:
  friend class RtcRecord;
  friend class RtcRemover;

  // rtc_signal.cc: from the request to the origin's answer
  bool needs_addresses(const RtcPlan& plan) const;
  Call& make_call(std::uint64_t owner, RtcRequest request);
  void begin(Call& call);
  std::string read_body(Call& call);
  std::string read_srs_body(Call& call);
  std::string body_for_origin(const Call& call) const;
  void ask_hook(Call& call);
  void tell_stop(const Call& call);
  void on_verdict(Call& call, const HookVerdict& verdict);
  void find_origin(Call& call);
  void find_adviser(Call& call);
  bool find_by_hint(Call& call) const;
  bool find_by_username(Call& call) const;
  void dial(Call& call, std::optional<ipc::OriginRef> known);
  void on_dial(Call& call, const OriginDialer::Step& step);
  void on_no_origin(Call& call, const OriginDialer::Step& step);
  void send_request(Call& call);
  void on_ready(std::uint64_t token, std::uint32_t events);
  void serve(Call& call);
  void unreadable(Call& call);
  void answer_late(Call& call);
  void on_timeout(CallId id);
  void arm(Call& call, std::uint64_t ms);
  Call* find(CallId id);
  Call* take_master_request(std::uint32_t request);
  std::string origin_text(const Call& call) const;

  // rtc_answer.cc: what the client is told, and the end
  void on_response(Call& call);
  void pass_on(Call& call);
  void tell_client(Call& call, int status, std::string_view why);
  void forget_master_request(Call& call);
  void finish(Call& call, RtcAnswer answer);
  void fail(Call& call, int status, std::string_view why);

  // rtc_redirect.cc: the origin sends us elsewhere
  void on_redirect(Call& call);

  Process process_;
  route::HintKey hint_key_;
  OnAnswer on_answer_;
  RtcAddressBook addresses_;
  std::unique_ptr<RtcRecord> record_;
  std::unique_ptr<RtcRemover> remover_;
  Poller poller_;
  OriginDialer dialer_;
  std::unordered_map<CallId, std::unique_ptr<Call>> calls_;
  std::unordered_map<std::uint32_t, CallId> master_requests_;
  std::vector<std::uint8_t> read_buffer_;
  CallId last_call_ = 0;
};

}  // namespace weir::http
