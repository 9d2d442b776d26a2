// RtcWorker: ICE over TCP (RFC 6544). A connection is one more way to the client; its first frame
// must be a proven STUN request.
#include "common/base/clock.h"
#include "common/base/limits.h"
#include "common/net/tcp.h"
#include "common/proto/rtc/demux.h"
#include "workers/rtc/rtc_worker.h"

namespace weir::rtc {

using ipc::Counter;

void RtcWorker::on_accept(UniqueFd fd, const Endpoint& client) {
  counters_.add(Counter::kRtcTcpAccepted);
  if (legs_.size() >= limits::kRtcTcpConnections) {
    counters_.add(Counter::kRtcTcpRefused);
    return;
  }
  net::set_tcp_options(fd.get(), {config_.rtc.idle_timeout, config_.rtc.idle_timeout});
  legs_.add(std::move(fd), client, monotonic_ms());
}

void RtcWorker::on_leg_packet(LegRef ref, ByteView packet) {
  TcpLeg* leg = legs_.find(ref);
  if (leg == nullptr) return;
  if (leg->flow == kNoFlow) {
    on_first_frame(ref, *leg, packet);
    return;
  }
  if (packet_kind(packet) != PacketKind::kStun) {
    relay_.flow(leg->flow).media_seen = true;
    relay_.forward(leg->flow, packet);
    return;
  }
  StunMessage message;
  switch (classify_stun(packet, message)) {
    case StunUse::kMalformed:
      counters_.add(Counter::kRtcStunMalformed);
      return;
    case StunUse::kPlain:
      counters_.add(Counter::kRtcStunPlain);
      return;
    case StunUse::kOther:
      relay_.forward(leg->flow, packet);
      return;
    case StunUse::kCheck:
      on_leg_check(ref, *leg, message, packet);
      return;
  }
}

void RtcWorker::on_first_frame(LegRef ref, TcpLeg& leg, ByteView packet) {
  StunMessage message;
  Proof proof;
  ipc::FlowRecord record;
  if (classify_stun(packet, message) != StunUse::kCheck ||
      !prove(message, leg.client, leg.local, proof, record)) {
    counters_.add(Counter::kRtcTcpRefused);
    legs_.close(ref);
    return;
  }
  if (const std::uint32_t index = relay_.find(proof.flow); index != kNoFlow) {
    attach(ref, index);
    on_leg_check(ref, leg, message, packet);
    return;
  }
  const ClientPacket from{{leg.client, 0}, leg.local, 0, packet};
  const bool wanted = may_claim(question_of(record, proof, leg.client));
  leg.claim = wanted ? relay_.claim(proof.flow, from, ipc::FlowTransport::kTcp) : 0;
  if (leg.claim == 0) {
    legs_.close(ref);
    return;
  }
  leg.first.assign(packet.begin(), packet.end());
  waiting_legs_[proof.flow.slot] = ref;
  legs_.pause(ref);
}

// A check by a connection that belongs to a flow already.
void RtcWorker::on_leg_check(LegRef ref, TcpLeg& leg, const StunMessage& request, ByteView packet) {
  Proof proof;
  ipc::FlowRecord record;
  const std::uint32_t index = leg.flow;
  if (!prove(request, leg.client, leg.local, proof, record)) return;
  if (relay_.find(proof.flow) != index) {
    legs_.close(ref);  // one connection, one session
    leg_of_flow_.erase(index);
    return;
  }
  UdpFlow& flow = relay_.flow(index);
  flow.stun_ms = monotonic_ms();
  if (flow.transport != ipc::FlowTransport::kTcp &&
      decide_move(question_of(flow, proof, leg.client)) == Move::kNow) {
    counters_.add(Counter::kRtcMoves);
    relay_.move_to_tcp(index, leg.client, leg.local);
  }
  relay_.forward(index, packet);
}

void RtcWorker::attach(LegRef ref, std::uint32_t index) {
  TcpLeg* leg = legs_.find(ref);
  if (leg == nullptr) return;
  const auto before = leg_of_flow_.find(index);
  if (before != leg_of_flow_.end()) legs_.close(before->second);
  leg->flow = index;
  leg_of_flow_[index] = ref;
}

bool RtcWorker::to_tcp(std::uint32_t index, ByteView packet) {
  const auto found = leg_of_flow_.find(index);
  return found != leg_of_flow_.end() && legs_.send(found->second, packet);
}

void RtcWorker::on_leg_closed(LegRef ref) {
  const TcpLeg* leg = legs_.find(ref);
  const std::uint32_t index = leg->flow;
  if (index == kNoFlow) {
    std::erase_if(waiting_legs_, [&](const auto& entry) { return entry.second == ref; });
    return;
  }
  leg_of_flow_.erase(index);
  UdpFlow& flow = relay_.flow(index);
  if (flow.transport != ipc::FlowTransport::kTcp) return;
  if (flow.current != kNoPath && !relay_.draining()) {
    relay_.move_client(index, flow.current);  // it has a way by UDP as well
  } else {
    relay_.end(index, {ipc::FlowEndReason::kClosed, "client_closed"});
    maybe_leave();
  }
}

}  // namespace weir::rtc
