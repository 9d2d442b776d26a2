#include "workers/srt/srt_watch.h"

#include <array>
#include <utility>

#include "common/base/clock.h"

namespace weir::srt {

using ipc::Counter;

std::string_view& SessionWatch::closing(std::uint32_t flow) {
  if (reasons_.size() <= flow) reasons_.resize(flow + 1);
  return reasons_[flow];
}

void SessionWatch::look(std::uint32_t index, const Header& header, ByteView packet,
                        bool of_client) {
  UdpFlow& flow = process_.relay.flow(index);
  flow.stun_ms = monotonic_ms();
  if (of_client && !flow.recorded && flow.current != kNoPath) {
    // The master has not taken the client's socket id yet.
    process_.relay.move_client(index, flow.current);
  }
  if (header.is(ControlType::kShutdown)) {
    close(index, of_client ? "client_closed" : "origin_closed");
  } else if (header.is(ControlType::kAck)) {
    if (const auto info = ack_info(packet)) {
      flow.rtt_us = info->rtt_us;
      flow.rtt_variance_us = info->rtt_variance_us;
      process_.counters.add(Counter::kSrtRttReports);
      process_.counters.add(Counter::kSrtRttMicroseconds, info->rtt_us);
    }
  } else if (header.is(ControlType::kNak)) {
    const std::uint32_t lost = lost_packets(packet);
    (of_client ? flow.total.lost_to_client : flow.total.lost_from_client) += lost;
    process_.counters.add(of_client ? Counter::kSrtLostToClients : Counter::kSrtLostFromClients,
                          lost);
  }
}

void SessionWatch::close(std::uint32_t index, std::string_view why) {
  std::string_view& reason = closing(index);
  if (!reason.empty()) return;
  reason = why;
  closing_.push_back(process_.relay.flow(index).ref);
  process_.wake();
}

void SessionWatch::end_closed() {
  for (const ipc::FlowRef ref : std::exchange(closing_, {})) {
    const std::uint32_t index = process_.relay.find(ref);
    if (index == kNoFlow) continue;
    const std::string_view why = closing(index);
    const UdpClientPath* client = process_.relay.flow(index).client();
    if (why == kCallsAnew && client != nullptr) {
      std::array<std::uint8_t, kShutdownBytes> buffer;  // the caller has forgotten to send one
      process_.relay.forward(index, write_shutdown(buffer, client->key.id));
    }
    process_.relay.end(index, {ipc::FlowEndReason::kClosed, why});
  }
}

// A client can call again at once, and an origin has the stream free for it.
void SessionWatch::tell_ends(std::uint32_t index, const UdpEnd& end) {
  closing(index) = {};
  const UdpFlow& flow = process_.relay.flow(index);
  const UdpClientPath* client = flow.client();
  const bool theirs = end.reason == ipc::FlowEndReason::kMoved ||
                      end.reason == ipc::FlowEndReason::kClosed ||
                      end.reason == ipc::FlowEndReason::kRefused;
  if (theirs || client == nullptr) return;
  std::array<std::uint8_t, kShutdownBytes> buffer;
  process_.relay.forward(index, write_shutdown(buffer, client->key.id));
  if (flow.srt_caller_id == 0) return;
  process_.relay.reply({client->key, client->local, client->socket, {}},
                       write_shutdown(buffer, flow.srt_caller_id));
}

}  // namespace weir::srt
