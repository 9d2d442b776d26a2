// SrtWorker: the SRT port. Answers inductions without keeping anything, carries a proven caller's
// handshake to the origin that has its stream, and leaves the packets of established connections
// to the UdpRelay. Encryption, latency and retransmission stay between client and origin; libsrt is
// not used. Owner: run_srt_worker(). One thread. docs/SRT.md, docs/UDP.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
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
#include "workers/srt/srt_dials.h"
#include "workers/srt/srt_key_lengths.h"

namespace weir::srt {

class SrtWorker final : private UdpProtocol {
 public:
  SrtWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
            ipc::StateView&& state, ipc::FlowView&& table, ipc::Counters&& counters);
  // Says READY and runs until drained.
  void run();

 private:
  // What is read of a flow's control packets.
  struct Watch {
    std::uint32_t caller_id = 0;  // the client's socket id
    std::string_view closing;     // why it is about to end: who sent a SHUTDOWN, or a new call
    // The client's, by which a repeated conclusion is told from a new call of the same port and
    // socket id; empty after another worker made the handshake.
    std::optional<std::uint32_t> initial_sequence;
  };
  // A conclusion that waits until sessions may end: the caller has begun anew.
  struct NewCall {
    ClientPacket packet;  // of bytes
    std::uint32_t caller_id = 0;
    std::vector<std::uint8_t> bytes;
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
  void on_unreachable(std::uint32_t flow) override;
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
  void on_wake();
  void on_timer();
  void arm_timer();
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
  void begin(const ClientPacket& packet, std::uint32_t caller_id, std::uint64_t now,
             const std::optional<ipc::FlowView::Hit>& hit, const ipc::FlowRecord& record);
  bool is_new_call(const ipc::FlowRecord& record, std::uint32_t flow, std::uint32_t sequence,
                   std::uint64_t now);
  void defer(const ClientPacket& packet, std::uint32_t caller_id);
  void take_new_calls();
  void turn_away(const ClientPacket& packet, Reject code, std::uint64_t now);
  void overload(const ClientPacket& packet, DialTable::Room room, std::uint64_t now);
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
  void check_origin(Dial& dial, std::uint64_t now);
  std::uint64_t next_check(const Dial& dial, std::uint64_t now) const;

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
  KeyLengths key_lengths_;
  EventPtr wake_;                   // what must not be done within the relay's work
  EventPtr timer_;                  // the earliest deadline
  std::uint64_t armed_for_ms_ = 0;  // 0: it is not
  DialTable dials_;
  std::unordered_set<std::uint32_t> creates_;  // sessions that the master is to make
  std::vector<Watch> watches_;                 // by the relay's index
  std::vector<ipc::FlowRef> closing_;
  std::vector<NewCall> new_calls_;
  LogBudget refusals_{20};
  SessionId next_session_;
  std::uint64_t drain_deadline_ms_ = 0;
};

}  // namespace weir::srt
