// RtcWorker: the WebRTC port. Tells by a packet's first byte what it is (RFC 7983), believes a
// client's address after a STUN request with the right MESSAGE-INTEGRITY, and leaves all else to
// the UdpRelay; DTLS and media stay between client and origin. Also ICE over TCP and a STUN server,
// both optional. Owner: run_rtc_worker(). One thread. docs/UDP.md follows a session through it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/config/config.h"
#include "ipc/counters.h"
#include "ipc/flow_reader.h"
#include "ipc/route_reader.h"
#include "ipc/worker_entry.h"
#include "workers/core/acceptor.h"
#include "workers/core/access_logger.h"
#include "workers/core/master_link.h"
#include "workers/core/udp_relay.h"
#include "workers/rtc/rtc_session.h"
#include "workers/rtc/rtc_tcp.h"

namespace weir::rtc {

class RtcWorker final : private UdpProtocol {
 public:
  RtcWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
            ipc::StateView&& state, ipc::FlowView&& table, ipc::Counters&& counters);
  // Says READY and runs until drained.
  void run();

 private:
  // A proven STUN request.
  struct Proof {
    ipc::FlowRef flow;
    std::uint32_t tag = 0;
    bool use_candidate = false;
    bool fresh = false;  // its transaction is a new one
    bool repeated = false;
  };
  // One way of packets between a client and us.
  struct Way {
    bool tcp = false;
    ClientKey key;
    Endpoint local;
    friend bool operator==(const Way&, const Way&) = default;
  };
  struct Heard {
    std::uint64_t packet_ms = 0;
    std::uint64_t proof_ms = 0;
  };
  // A session whose connection has closed, and which the client has no other way to.
  struct Abandoned {
    ipc::FlowRef flow;
    std::uint64_t until_ms = 0;
  };
  // A proven way that may get the media of its flow, or has got it and is not confirmed yet.
  struct Mover {
    ipc::FlowRef flow;
    Way way;
    bool use_candidate = false;
    bool repeated = false;
    bool followed = false;
    bool moved = false;
    Way before;  // moved: from there
    std::uint64_t moved_ms = 0;
    std::uint64_t until_ms = 0;
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

  // rtc_worker.cc: STUN, addresses, the master's messages, the end
  bool prove(const StunMessage& request, const TransactionTable::From& from, Proof& out,
             ipc::FlowRecord& record);
  void on_proof(const Proof& proof, const ipc::FlowRecord& record, const ClientPacket& packet);
  bool taken(const Proof& proof, const ClientKey& key);
  std::uint32_t claim(const Proof& proof, const ipc::FlowRecord& record, const ClientPacket& packet,
                      ipc::FlowTransport transport);
  void answer_plain(const StunMessage& request, const ClientPacket& packet);
  void on_message(ipc::MessageType type, ByteView bytes);
  void drain(std::uint64_t deadline_ms);
  void quit();
  void maybe_leave();
  void on_timer();
  void log_end(const UdpFlow& flow, const UdpEnd& end);
  std::string origin_text(const UdpFlow& flow) const;

  void end_abandoned(std::uint64_t now);

  // rtc_worker_moves.cc: which way the media takes
  std::uint8_t path_at(std::uint32_t flow, const Way& way);
  Way way_at(std::uint32_t flow, std::uint8_t path);
  Heard heard_by(std::uint32_t flow, std::uint8_t path);
  void on_way(std::uint32_t flow, const Way& way, const Proof& proof);
  bool try_move(std::uint32_t flow, std::uint8_t path, Mover& mover, std::uint64_t now);
  void record(std::uint32_t flow, std::uint8_t path);
  void check_movers(std::uint64_t now);
  bool take_back(std::uint32_t flow, const Mover& mover);

  // rtc_worker_tcp.cc: ICE over TCP
  void on_accept(UniqueFd fd, const Endpoint& client);
  void on_leg_packet(LegRef ref, ByteView packet);
  void on_first_frame(LegRef ref, TcpLeg& leg, ByteView packet);
  void on_leg_check(LegRef ref, TcpLeg& leg, const StunMessage& request, ByteView packet);
  void on_leg_proof(std::uint32_t flow, TcpLeg& leg, const Proof& proof, ByteView packet);
  TcpLeg* leg_of(std::uint32_t flow);
  void on_leg_closed(LegRef ref);
  void attach(LegRef ref, std::uint32_t flow);

  ipc::WorkerContext context_;
  const Config& config_;
  event_base* base_;
  ipc::StateView state_;
  ipc::FlowView table_;
  ipc::Counters counters_;
  HashSeed seed_;
  TransactionTable transactions_;
  ProofMemory proofs_;
  ClaimPace claim_pace_;
  StunBudget stun_budget_;
  AccessLogger access_log_;
  MasterLink link_;
  UdpRelay relay_;
  TcpLegs legs_;
  Acceptor acceptor_;
  EventPtr timer_;
  std::unordered_map<std::uint32_t, LegRef> leg_of_flow_;   // by the relay's index
  std::unordered_map<std::uint32_t, LegRef> waiting_legs_;  // by slot in the session table
  std::vector<Mover> movers_;
  std::vector<Abandoned> abandoned_;
  std::uint64_t drain_deadline_ms_ = 0;
};

}  // namespace weir::rtc
