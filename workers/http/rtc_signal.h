// RtcSignal: leads a client's call of WebRTC signalling (docs/WEBRTC.md) from one who knows to the
// next. Owner: HttpWorker. A call belongs to this object from start() until it is answered or
// cancelled.
//
//   HookClient    may this client
//   RtcOrigin     the request to the origin, found by stream key or by the resource's hint, and its
//                 answer: an offer goes to one origin only, since it may have made a session
//   PlayerSearch  a player's offer whose origin has said that it has made none, as it lacks the
//                 stream, goes to the next one, if nobody knows where the stream is
//   RtcReader     what the answer means
//   RtcRecord     the master writes the session down, before the client may have the answer
//   RtcRemover    a session that the origin has made and nobody can use is ended there at once, so
//                 that the next try finds its place free: the answer cannot be used, came too late,
//                 or found its client gone; the master refuses. A call goes on without its client
//                 until that is done
//
// Bounds: calls at once. Errors are answers with a status and a reason.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/config/config.h"
#include "ipc/counters.h"
#include "ipc/flow_messages.h"
#include "ipc/flow_reader.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "workers/core/deadlines.h"
#include "workers/core/hook_client.h"
#include "workers/core/master_link.h"
#include "workers/core/origin_tls.h"
#include "workers/core/player_search.h"
#include "workers/core/resolver.h"
#include "workers/http/rtc_answer.h"
#include "workers/http/rtc_origin.h"
#include "workers/http/rtc_reader.h"
#include "workers/http/rtc_record.h"
#include "workers/http/rtc_removal.h"
#include "workers/http/rtc_request.h"

namespace weir::http {

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
  bool on_route_answer(const ipc::RouteAnswer& message) {
    return origins_.on_route_answer(message);
  }
  void on_flow_created(const ipc::FlowCreated& message) { record_.on_flow_created(message); }
  void on_flow_abandoned(const ipc::FlowAbandoned& message) { remover_.on_flow_abandoned(message); }

 private:
  struct Call;

  Call* find(CallId id);
  void ask_hook(Call& call);
  void on_verdict(Call& call, const HookVerdict& verdict);
  void ask_origin(Call& call);
  bool enter_search(Call& call);
  void on_bound(Call& call);
  bool search_on(Call& call, route::SearchWord word);
  void ask(Call& call, RtcOrigin::Want&& want);
  void on_outcome(Call& call, RtcOrigin::Outcome&& outcome);
  void on_no_origin(Call& call);
  void on_unreadable(Call& call);
  void on_late(Call& call);
  void on_misdirected(Call& call);
  void on_answer(Call& call);
  void on_offer_answer(Call& call);
  void on_patch_answer(Call& call);
  void on_restart_answer(Call& call);
  void on_sdp_accepted(Call& call);
  bool find_flow(Call& call) const;
  void end_flow(Call& call);
  void record(Call& call);
  void change(Call& call, const RtcFlow& credentials);
  void recording(Call& call, const RtcRecord::Asked& asked);
  RtcRecord::OnOutcome when_recorded(CallId id);
  void on_recorded(Call& call, const RtcRecord::Outcome& outcome);
  void refuse_record(Call& call, const RtcRecord::Outcome& outcome);
  void answer_recorded(Call& call, std::string_view flow_name);
  void give_up(Call& call, int status, std::string_view why);
  void remove_at_origin(Call& call);
  void pass_on(Call& call);
  void fail(Call& call, int status, std::string_view why);
  void tell_client(Call& call, int status, std::string_view why);
  void finish(Call& call, RtcAnswer answer);
  std::string origin_text(const Call& call) const;

  Process process_;
  route::HintKey hint_key_;
  OnAnswer on_answer_;
  RtcReader reader_;
  RtcOrigin origins_;
  PlayerSearch search_;
  Deadlines bounded_;  // of calls that a bound of the search keeps waiting
  RtcRecord record_;
  RtcRemover remover_;
  std::unordered_map<CallId, std::unique_ptr<Call>> calls_;
  CallId last_call_ = 0;
};

}  // namespace weir::http
