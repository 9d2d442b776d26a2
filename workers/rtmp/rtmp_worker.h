// RtmpWorker: accepts RTMP clients, finds out which stream they want, dials the origin that has it,
// and hands the two sockets to the SpliceRelay. Owner: run_rtmp_worker(). One thread.
// docs/LIFE_OF_A_STREAM.md follows a session through it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/log_budget.h"
#include "common/config/config.h"
#include "common/route/alias.h"
#include "ipc/counters.h"
#include "ipc/route_reader.h"
#include "ipc/worker_entry.h"
#include "workers/core/acceptor.h"
#include "workers/core/event_ptr.h"
#include "workers/core/master_link.h"
#include "workers/core/origin_tls.h"
#include "workers/core/player_search.h"
#include "workers/core/poller.h"
#include "workers/core/splice_relay.h"
#include "workers/core/tcp_worker.h"
#include "workers/core/tls_listener.h"
#include "workers/rtmp/rtmp_conn.h"

namespace weir::rtmp {

// For the dialer: no origin yet. `index`: of the connection.
OriginDialer::Want dial_want(const Conn& conn, std::uint32_t index);
PlayerSearch::Player searching_player(const Conn& conn);
// Bytes of a player, or of a publisher's origin, in the relay. False: the session ends.
bool on_watched(const Conn& conn, ByteView bytes);
// Its origin has sent it some more bytes.
void check_found(PlayerSearch& search, Conn& conn);

class RtmpWorker {
 public:
  RtmpWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
             ipc::StateView&& state, ipc::Counters&& counters, ipc::CountersView&& all_counters);
  // Says READY and runs until drained.
  void run();

 private:
  // rtmp_worker.cc: accept, table, timers, the master's messages, the end of sessions
  void on_accept(UniqueFd fd, const Endpoint& client, bool tls);
  bool admit(const Endpoint& client);
  void on_message(ipc::MessageType type, ByteView bytes);
  void drain(std::uint64_t deadline_ms);
  void on_fast_timer();
  void on_slow_timer();
  void check_deadline(std::uint32_t index, std::uint64_t now);
  void end_all(EndReason reason);
  void end(std::uint32_t index, EndReason reason);
  void leave_preamble(Conn& conn);
  void leave_half_open(const Conn& conn);
  void on_relay_end(std::uint32_t index, RelayEnd why);
  void maybe_leave();

  // rtmp_hooks.cc: the operator's own server
  bool ask_hook(std::uint32_t index);
  void on_verdict(std::uint32_t index, const HookEvent& event, const HookVerdict& verdict);

  // rtmp_search.cc: streams that nobody knows
  bool enter_search(std::uint32_t index);
  void on_bound(std::uint32_t index);
  bool search_on(std::uint32_t index, route::SearchWord word);
  bool on_held_close(std::uint32_t index);

  // rtmp_preamble.cc: everything until the relay starts
  void on_ready(std::uint64_t token, std::uint32_t events);
  void pump(std::uint32_t index);
  bool pump_round(std::uint32_t index);
  bool shake(std::uint32_t index);
  void refuse_tls(std::uint32_t index, net::TlsFailure why, std::string_view text);
  bool step(std::uint32_t index);
  bool flush(std::uint32_t index, int side, bool& progress);
  bool read_client(std::uint32_t index, bool& progress);
  bool read_origin(std::uint32_t index, bool& progress);
  bool finish_closing(std::uint32_t index, bool& progress);
  void find_route(std::uint32_t index);
  void route(std::uint32_t index);
  void on_dial(std::uint32_t index, const OriginDialer::Step& step);
  void on_connected(std::uint32_t index);
  void origin_failed(std::uint32_t index, ipc::DialOutcome outcome, std::string_view error);
  void refuse(std::uint32_t index, EndReason reason, std::string_view description,
              LogLevel level = LogLevel::kWarn);
  void open_session(std::uint32_t index);
  void on_protocol_failure(std::uint32_t index);
  void start_relay(std::uint32_t index);

  event_base* base_;
  ipc::WorkerContext context_;
  const Config& config_;
  const route::Aliases aliases_;
  ipc::StateView state_;
  ipc::Counters counters_;
  ipc::CountersView all_counters_;
  MasterLink link_;
  Poller poller_;
  SpliceRelay relay_;
  std::unique_ptr<net::TlsServer> tls_;
  OriginTls origin_tls_;
  OriginDialer dialer_;
  PlayerSearch search_;
  Acceptor acceptor_;
  AccessLogger access_log_;
  Resolver resolver_;
  HookClient hooks_;
  EventPtr fast_timer_;
  EventPtr slow_timer_;
  ConnTable<Conn> conns_;
  std::vector<std::uint32_t> preambles_;                        // indexes of conns with a Preamble
  std::unordered_map<std::uint64_t, std::uint32_t> half_open_;  // address group -> connections
  std::vector<std::uint8_t> read_buffer_;
  SessionId next_session_;
  std::uint64_t elsewhere_ = 0;  // connections of the other workers, refreshed each second
  Drain drain_;
  LogBudget total_refusals_{1};
  LogBudget half_open_refusals_{1};
  LogBudget tls_failures_{20};
};

}  // namespace weir::rtmp
