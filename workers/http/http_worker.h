// HttpWorker: serves HTTP clients: finds the origin of the stream that a request names, passes the
// request on, and the response back: live streams through the SpliceRelay, playlists rewritten so
// that their segments come back to the same origin, everything else as it is.
// Owner: run_http_worker(). One thread. docs/HTTP.md follows a request through it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/access_list.h"
#include "common/base/log_budget.h"
#include "common/base/network.h"
#include "common/base/rate_limiter.h"
#include "common/config/config.h"
#include "common/route/origin_hint.h"
#include "common/route/stream_key.h"
#include "ipc/counters.h"
#include "ipc/route_reader.h"
#include "ipc/worker_entry.h"
#include "workers/core/acceptor.h"
#include "workers/core/event_ptr.h"
#include "workers/core/master_link.h"
#include "workers/core/origin_tls.h"
#include "workers/core/pipe_pool.h"
#include "workers/core/poller.h"
#include "workers/core/splice_relay.h"
#include "workers/core/tcp_worker.h"
#include "workers/core/tls_listener.h"
#include "workers/http/http_api.h"
#include "workers/http/http_conn.h"
#include "workers/http/http_static.h"
#include "workers/http/http_upstream.h"
#include "workers/http/rtc_signal.h"

namespace weir::http {

class HttpWorker {
 public:
  HttpWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
             ipc::StateView&& state, ipc::Counters&& counters, ipc::CountersView&& all_counters);
  // Says READY and runs until drained.
  void run();

 private:
  struct Answer {
    int status = 200;
    std::string_view content_type = "text/plain; charset=utf-8";
    std::string_view body;
    std::string_view allow = {};
    bool close = false;
    std::string_view location = {};
    std::uint64_t retry_after = 0;                                             // seconds
    const std::vector<std::pair<std::string, std::string>>* fields = nullptr;  // instead of ours
  };

  // http_worker.cc: connections, timers, the master's messages, the end
  struct Port {
    bool api = false;
    bool tls = false;
  };
  Port port_of(std::size_t listener) const;
  void on_accept(UniqueFd fd, const Accepted& who);
  void on_message(ipc::MessageType type, ByteView bytes);
  void drain(std::uint64_t deadline_ms);
  void on_fast_timer();
  void on_slow_timer();
  void check_deadline(std::uint32_t index, std::uint64_t now);
  void end_all(EndReason reason);
  void end(std::uint32_t index, EndReason reason);
  void on_relay_end(std::uint32_t index, RelayEnd why);
  void maybe_leave();
  void track(std::uint32_t index);
  void untrack(std::uint32_t index);

  // http_request.cc: from the client's bytes to the origin
  void on_ready(std::uint64_t token, std::uint32_t events);
  void pump(std::uint32_t index);
  bool shake(std::uint32_t index);
  void refuse_tls(std::uint32_t index, net::TlsFailure why, std::string_view text);
  bool on_all_written(std::uint32_t index, bool& progress);
  bool read_client(std::uint32_t index, bool& progress);
  bool next_request(std::uint32_t index, bool& progress);
  void begin(std::uint32_t index, const RequestHead& head);
  bool answer_here(std::uint32_t index, const RequestHead& head);
  void build_request(Exchange& x, const RequestHead& head);
  void find_route(std::uint32_t index, const RequestHead& head);
  void route(std::uint32_t index);
  bool route_by_hint(Exchange& x, std::string_view query);
  void ask_master(std::uint32_t index);
  void on_route_answer(const ipc::RouteAnswer& answer);
  void dial(std::uint32_t index, ipc::OriginRef origin, bool fresh);
  void dial_anew(std::uint32_t index);
  void send_request(Exchange& x) const;
  std::vector<std::uint8_t> proxy_header_of(std::uint32_t index) const;
  bool shake_origin(std::uint32_t index);
  void on_connected(std::uint32_t index);
  void origin_failed(std::uint32_t index, ipc::DialOutcome outcome, std::string_view error);
  std::string origin_text(ipc::OriginRef origin) const;
  std::string used_origin_text(const Exchange& x) const;

  // http_response.cc: from the origin to the client
  bool read_origin(std::uint32_t index, bool& progress);
  bool take_head(std::uint32_t index);
  void begin_response(std::uint32_t index, const ResponseHead& head, ByteView rest);
  void write_head(HttpConn& conn, const ResponseHead& head, const Body& body, bool close);
  bool take_body(std::uint32_t index, ByteView bytes);
  void body_done(std::uint32_t index);
  void finish_playlist(std::uint32_t index);
  void finish_exchange(std::uint32_t index, EndReason reason);
  void answer(std::uint32_t index, const Answer& what);
  void origin_broke(std::uint32_t index, EndReason reason, std::string_view why);
  void start_relay(std::uint32_t index);

  // http_access.cc: the access log
  void begin_mark(HttpConn& conn, std::size_t buffered);
  void mark_request(HttpConn& conn, const RequestHead& head);
  void note_sent(HttpConn& conn, std::size_t bytes);
  AccessRecord access_record(const HttpConn& conn, EndReason reason) const;
  void log_exchange(HttpConn& conn, EndReason reason);
  void log_relay_end(const HttpConn& conn, EndReason reason);
  void log_broken_request(const HttpConn& conn, EndReason reason);

  // http_limits.cc: who is let in
  bool admit(const Endpoint& client);
  void count_address(HttpConn& conn);
  void uncount_address(const HttpConn& conn);
  bool may_ask(std::uint32_t index, const RequestHead& head);

  // http_splice.cc: long bodies, inside the kernel
  static bool splices(const HttpConn& conn);
  bool splice_body(std::uint32_t index, bool& progress);
  bool fill_pipe(std::uint32_t index, bool& progress);
  bool drain_pipe(std::uint32_t index, bool& progress);

  // http_hooks.cc: the operator's own server
  bool ask_hook(std::uint32_t index, const RequestHead& head, const route::StreamKey& key);
  void on_verdict(std::uint32_t index, const HookEvent& event, const HookVerdict& verdict);
  void tell_stop(HttpConn& conn);

  // http_static.cc: files below http.static_files
  bool serve_file(std::uint32_t index, const RequestHead& head);
  void send_file(std::uint32_t index, const RequestHead& head, StaticFile&& file);
  void redirect(std::uint32_t index, const RequestHead& head, const std::string& to);
  bool read_file(std::uint32_t index, bool& progress);

  // http_api_worker.cc: the API port
  void begin_api(std::uint32_t index, const RequestHead& head);
  void on_api_answer(std::uint64_t call, const ApiAnswer& what);
  void cancel_api(Exchange& x);

  // http_rtc_worker.cc: WebRTC signalling on the API port
  bool begin_rtc(std::uint32_t index, const RequestHead& head);
  void take_request_body(std::uint32_t index, bool& progress);
  void start_rtc(std::uint32_t index);
  void on_rtc_answer(std::uint64_t owner, const RtcAnswer& what);
  void refuse_rtc(std::uint32_t index, const RtcPlan& plan, int status, std::string_view why,
                  bool close);
  void answer_rtc(std::uint32_t index, const RtcAnswer& what, bool close);

  event_base* base_;
  ipc::WorkerContext context_;
  const Config& config_;
  NetworkList trusted_;
  AccessList access_;
  AccessList api_access_;
  RateLimiter requests_;
  route::HintKey hint_key_;
  route::HintCache hints_;
  ipc::StateView state_;
  std::optional<ipc::FlowView> flows_;  // the session table
  ipc::Counters counters_;
  ipc::CountersView all_counters_;
  MasterLink link_;
  Poller poller_;
  SpliceRelay relay_;
  AccessLogger access_log_;
  std::unique_ptr<net::TlsServer> tls_;
  HookClient hooks_;
  OriginTls origin_tls_;
  StaticFiles static_;
  UpstreamPool pool_;
  PipePool pipes_;
  HttpApi api_;
  RtcSignal rtc_;
  Acceptor acceptor_;
  std::unordered_map<std::uint64_t, std::uint64_t> addresses_;  // address group -> connections
  LogBudget denials_{1};
  LogBudget total_refusals_{1};
  LogBudget address_refusals_{1};
  LogBudget rate_refusals_{1};
  EventPtr fast_timer_;
  EventPtr slow_timer_;
  ConnTable<HttpConn> conns_;
  std::vector<std::uint32_t> busy_;                                  // all but those in the relay
  std::unordered_map<std::uint32_t, std::uint32_t> route_requests_;  // request -> conn index
  std::unordered_map<std::uint64_t, std::uint32_t> api_calls_;       // call -> conn index
  std::unordered_map<std::uint64_t, ipc::OriginRef> fingerprints_;  // found once, checked each time
  std::vector<std::uint8_t> read_buffer_;
  std::string rewritten_;  // a playlist, on its way to the client's output
  SessionId next_session_;
  std::uint64_t elsewhere_ = 0;
  Drain drain_;
};

}  // namespace weir::http
