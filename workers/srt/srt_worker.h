// SrtWorker: the SRT port. Answers inductions without keeping anything, carries a proven caller's
// handshake to the origin that has its stream, and leaves the packets of established connections
// to the UdpRelay. Encryption, latency and retransmission stay between client and origin; libsrt is
// not used. Owner: run_srt_worker(). One thread. docs/SRT.md, docs/UDP.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common/base/access_list.h"
#include "common/base/log_budget.h"
#include "common/config/config.h"
#include "ipc/counters.h"
#include "ipc/flow_reader.h"
#include "ipc/route_reader.h"
#include "ipc/worker_entry.h"
#include "workers/core/access_logger.h"
#include "workers/core/hook_client.h"
#include "workers/core/master_link.h"
#include "workers/core/resolver.h"
#include "workers/core/udp_relay.h"
#include "workers/srt/srt_dial.h"

namespace weir::srt {

class SrtWorker final : private UdpProtocol {
 public:
  SrtWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
            ipc::StateView&& state, ipc::FlowView&& table, ipc::Counters&& counters);
  // Says READY and runs until drained.
  void run();

 private:
  using Dials = std::unordered_map<ClientKey, Dial, ClientKeyHash>;
  // What is read of a flow's control packets.
  struct Watch {
    std::uint32_t caller_id = 0;  // the client's socket id
    std::string_view closing;     // a SHUTDOWN has passed: who sent it
  };

  // UdpProtocol
  std::uint32_t client_id(ByteView packet) const override;
  bool special(std::uint8_t first_byte) const override;
  bool inspect(const ClientPacket& packet, std::uint32_t flow) override;
  void on_stranger(const ClientPacket& packet) override;
  std::uint8_t path_of(std::uint32_t flow, ByteView packet) override;
  bool to_tcp(std::uint32_t flow, ByteView packet) override;
  void on_begin(std::uint32_t flow) override;
  void on_end(std::uint32_t flow, const UdpEnd& end) override;
  void on_refused(std::uint32_t request, ipc::FlowStatus status) override;

  // srt_worker.cc: established connections, the master's messages, timer, the end
  void watch(std::uint32_t flow, const Header& header, ByteView packet, bool of_client);
  Watch& watch_of(std::uint32_t flow);
  void end_closed();
  void on_message(ipc::MessageType type, ByteView bytes);
  void drain(std::uint64_t deadline_ms);
  void quit();
  void maybe_leave();
  void wake();
  void on_timer();
  void tell_ends(std::uint32_t flow, const Watch& watch, const UdpEnd& end);
  void log_end(const UdpFlow& flow, const UdpEnd& end);
  std::string origin_text(ipc::OriginRef ref, const Endpoint& endpoint) const;

  // srt_hooks.cc: the operator's own server
  HookEvent hook_event(const Dial& dial, HookAction action) const;
  HookEvent end_event(const Dial& dial) const;
  void ask_hook(Dial& dial);
  void on_verdict(Dial& dial, const HookVerdict& verdict);
  void tell_end(Dial& dial);

  // srt_handshake.cc: from the induction to the established connection
  void on_handshake(const ClientPacket& packet);
  void on_conclusion(const ClientPacket& packet, std::uint32_t caller_id, std::uint64_t now);
  void turn_away(const ClientPacket& packet, Reject code, std::uint64_t now);
  void overload(const ClientPacket& packet, std::uint64_t now);
  void deny(const ClientPacket& packet, std::uint64_t now);
  void resume(Dial& dial, ipc::FlowRef ref, const ipc::FlowRecord& record);
  void find_route(Dial& dial);
  void ask_master(Dial& dial);
  void on_route_answer(const ipc::RouteAnswer& answer);
  void create(Dial& dial, ipc::OriginRef origin);
  void on_created(const ipc::FlowCreated& answer);
  void claim(Dial& dial);
  void start(Dial& dial, std::uint32_t flow);
  void flush(Dial& dial);
  void on_established(Dial& dial);
  void on_rejected(Dial& dial);
  void origin_failed(Dial& dial, ipc::DialOutcome outcome, std::string_view error,
                     bool our_fault = false);
  void reject(Dial& dial, Reject code, std::string_view why);
  void leave_origin(Dial& dial);
  void finish(Dial& dial);
  bool check(Dial& dial, std::uint64_t now);
  void check_dials(std::uint64_t now);
  Dial* waiting_for(std::uint32_t request, DialStage stage);
  Dial* dial_of(std::uint32_t flow);

  ipc::WorkerContext context_;
  const Config& config_;
  event_base* base_;
  ipc::StateView state_;
  ipc::FlowView table_;
  ipc::Counters counters_;
  DoormanOptions doorman_;
  SessionOptions options_;
  AccessList access_;
  AccessLogger access_log_;
  MasterLink link_;
  UdpRelay relay_;
  Resolver resolver_;
  HookClient hooks_;
  EventPtr timer_;
  Dials dials_;
  std::size_t half_open_ = 0;                              // dials that are not done
  std::unordered_map<std::uint32_t, ClientKey> requests_;  // that the master has not answered
  std::unordered_map<std::uint32_t, ClientKey> by_flow_;   // by the relay's index
  std::unordered_map<std::uint32_t, ClientKey> by_slot_;   // of the session table, while claiming
  std::unordered_set<std::uint32_t> creates_;              // sessions that the master is to make
  std::vector<Watch> watches_;                             // by the relay's index
  std::vector<ipc::FlowRef> closing_;
  LogBudget refusals_{20};
  SessionId next_session_;
  std::uint64_t drain_deadline_ms_ = 0;
};

}  // namespace weir::srt
