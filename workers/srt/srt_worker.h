// SrtWorker: the SRT port. Leaves handshakes to the SrtDoor and the SrtDialer, control packets of
// established connections to the SessionWatch, all packets of those to the UdpRelay. Encryption,
// latency and retransmission stay between client and origin; libsrt is not used.
// Owner: run_srt_worker(). One thread. docs/SRT.md, docs/UDP.md.
#pragma once

#include <cstdint>

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
#include "workers/srt/srt_dialer.h"
#include "workers/srt/srt_door.h"
#include "workers/srt/srt_key_lengths.h"
#include "workers/srt/srt_process.h"
#include "workers/srt/srt_watch.h"

namespace weir::srt {

class SrtWorker final : private UdpProtocol {
 public:
  SrtWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
            ipc::StateView&& state, ipc::FlowView&& table, ipc::Counters&& counters);
  // Says READY and runs until drained.
  void run();

 private:
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

  void on_message(ipc::MessageType type, ByteView bytes);
  void drain(std::uint64_t deadline_ms);
  void quit();
  void maybe_leave();
  void on_turn();
  void on_drain_timer();
  void log_end(const UdpFlow& flow, const UdpEnd& end);

  ipc::WorkerContext context_;
  event_base* base_;
  ipc::StateView state_;
  ipc::FlowView table_;
  ipc::Counters counters_;
  AccessLogger access_log_;
  MasterLink link_;
  UdpRelay relay_;
  const route::Aliases aliases_;
  EventPtr turn_;
  EventPtr drain_timer_;
  SrtProcess process_;
  Resolver resolver_;
  HookClient hooks_;
  KeyLengths key_lengths_;
  SrtDialer dialer_;
  SessionWatch watch_;
  SrtDoor door_;
  std::uint64_t drain_deadline_ms_ = 0;
};

}  // namespace weir::srt
