// SrtDoor: answers the handshakes of callers that are addressed to no established session: keeps
// nothing of an induction, turns away whom nobody could serve, tells a repeated conclusion from a
// new call, and leaves who may come in to the SrtDialer. Owner: SrtWorker; one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/access_list.h"
#include "workers/srt/srt_dialer.h"
#include "workers/srt/srt_watch.h"

namespace weir::srt {

class SrtDoor {
 public:
  SrtDoor(SrtProcess& process, SrtDialer& dialer, SessionWatch& watch,
          const KeyLengths& key_lengths);

  // A handshake packet that belongs to no flow here.
  void on_handshake(const ClientPacket& packet);
  // Lets those in who had to wait. REQUIRES: not within the relay's work.
  void take_new_calls();
  // The session has come here; it ends if its caller has begun anew.
  void on_begin(std::uint32_t flow);
  // The claim with this number came to nothing.
  void on_refused(std::uint32_t request);
  void clear();

 private:
  // A conclusion that waits until sessions may end: the caller has begun anew.
  struct NewCall {
    ClientPacket packet;  // of bytes
    std::uint32_t caller_id = 0;
    std::uint32_t initial_sequence = 0;
    std::vector<std::uint8_t> bytes;
  };
  // A session of such a caller that is fetched from where it is, to be ended.
  struct Fetched {
    std::uint32_t request = 0;
    ipc::FlowRef flow;
  };

  void on_conclusion(const ClientPacket& packet, const Admission& entry, std::uint64_t now);
  void defer(const ClientPacket& packet, const Admission& entry);
  bool end_old_call(ipc::FlowRef flow, ipc::FlowRef dropped, const ClientPacket& caller);
  void begin(const ClientPacket& packet, std::uint32_t caller_id, std::uint64_t now,
             const ipc::FlowRef* found, const ipc::FlowRecord& record);
  void turn_away(const ClientPacket& packet, Reject code, std::uint64_t now);
  void overload(const ClientPacket& packet, DialTable::Room room, std::uint64_t now);
  void deny(const ClientPacket& packet, std::uint64_t now);

  SrtProcess& process_;
  SrtDialer& dialer_;
  SessionWatch& watch_;
  const KeyLengths& key_lengths_;
  DoormanOptions doorman_;
  AccessList access_;
  std::vector<NewCall> new_calls_;
  std::vector<Fetched> fetched_;
};

}  // namespace weir::srt
