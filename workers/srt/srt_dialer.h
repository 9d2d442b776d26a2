// SrtDialer: carries the handshakes of callers that have proven their address to the origins that
// have their streams: hook, route, the session in the master's table, its socket, the origin's
// answers, or the word no. Nothing waits here for an origin: each handshake has a state, a deadline
// and a place in a table. Owner: SrtWorker; one thread; must die before the event base.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_set>

#include "workers/core/hook_client.h"
#include "workers/srt/srt_dials.h"
#include "workers/srt/srt_key_lengths.h"
#include "workers/srt/srt_process.h"

namespace weir::srt {

class SrtDialer {
 public:
  // All outlive this. `first_session`: of the ids that this worker gives.
  SrtDialer(SrtProcess& process, HookClient& hooks, KeyLengths& key_lengths,
            SessionId first_session);

  // ---- for the door: callers

  DialTable::Room room_for(const Endpoint& client) const { return dials_.room_for(client); }
  Dial* find(const ClientKey& caller) { return dials_.find(caller); }
  // REQUIRES: room, and no dial of this caller. `found`: its session in the table, which another
  // worker has begun and gone; null if there is none.
  void begin(const ClientPacket& packet, std::uint32_t caller_id, std::uint64_t now,
             const ipc::FlowRef* found, const ipc::FlowRecord& record);
  // It has sent its conclusion again.
  void repeat(Dial& dial, const ClientPacket& packet, std::uint64_t now);
  // It begins anew: what was under way for it is taken back. REQUIRES: not within the relay's work.
  void drop(Dial& dial);

  // ---- for the worker: the relay's and the master's words

  // The flow is here now. False: no handshake waits for it.
  bool on_begin(std::uint32_t flow);
  // False: the end of an established session.
  bool on_end(std::uint32_t flow, const UdpEnd& end);
  // A handshake packet of the origin. False: none of a connection that is being made here.
  bool on_origin_packet(std::uint32_t flow, ByteView packet);
  void on_unreachable(std::uint32_t flow);
  void on_refused(std::uint32_t request, ipc::FlowStatus status);
  void on_route_answer(const ipc::RouteAnswer& answer);
  void on_created(const ipc::FlowCreated& answer);
  // Looks at those whose time has come. REQUIRES: not within the relay's work.
  void check_due();
  // Handshakes under way are forgotten: their callers repeat them to the next worker, which finds
  // in the table how far they have come.
  void drain();
  // Sessions that the master is making for us, and which are ours to end.
  bool creating() const { return !creates_.empty(); }

 private:
  // srt_dialer.cc: from the hook to the socket
  void ask_hook(Dial& dial);
  void on_verdict(Dial& dial, const HookVerdict& verdict);
  void tell_end(Dial& dial);
  void resume(Dial& dial, ipc::FlowRef ref, const ipc::FlowRecord& record);
  void find_route(Dial& dial);
  bool enter_search(Dial& dial);
  void on_bound(Dial& dial);
  bool search_on(Dial& dial, route::SearchWord word);
  void ask_master(Dial& dial);
  void create(Dial& dial, ipc::OriginRef origin);
  void claim(Dial& dial);

  // srt_handshake.cc: the origin's handshake, and time
  void start(Dial& dial, std::uint32_t flow);
  void flush(Dial& dial);
  void on_established(Dial& dial);
  void on_rejected(Dial& dial);
  void finish(Dial& dial);
  void reject(Dial& dial, Reject code, std::string_view why);
  void leave_origin(Dial& dial);
  void origin_failed(Dial& dial, ipc::DialOutcome outcome, std::string_view error,
                     bool our_fault = false);
  bool check(Dial& dial, std::uint64_t now);
  void check_origin(Dial& dial, std::uint64_t now);
  std::uint64_t next_check(const Dial& dial, std::uint64_t now) const;
  void arm_timer();
  void on_timer();

  SrtProcess& process_;
  HookClient& hooks_;
  KeyLengths& key_lengths_;
  EventPtr timer_;                  // the earliest deadline
  std::uint64_t armed_for_ms_ = 0;  // 0: it is not
  DialTable dials_;
  PlayerSearch search_;
  std::unordered_set<std::uint32_t> creates_;  // sessions that the master is to make
  SessionId next_session_;
};

}  // namespace weir::srt
