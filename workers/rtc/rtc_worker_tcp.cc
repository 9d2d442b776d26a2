// RtcWorker: ICE over TCP (RFC 6544). A connection is one more way to the client; its first frame
// must be a proven STUN request.
#include "common/base/clock.h"
#include "common/base/limits.h"
#include "common/net/tcp.h"
#include "common/proto/rtc/demux.h"
#include "workers/rtc/rtc_worker.h"

namespace weir::rtc {

using ipc::Counter;

namespace {

constexpr std::uint64_t kReturnMs = 5000;

}  // namespace

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
    leg->packet_ms = monotonic_ms();
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
      !prove(message, {leg.client, leg.local, 0, true}, proof, record)) {
    counters_.add(Counter::kRtcTcpRefused);
    legs_.close(ref);
    return;
  }
  if (const std::uint32_t index = relay_.find(proof.flow); index != kNoFlow) {
    attach(ref, index);
    on_leg_proof(index, leg, proof, packet);
    return;
  }
  const ClientPacket from{{leg.client, 0}, leg.local, 0, packet};
  leg.claim = claim(proof, record, from, ipc::FlowTransport::kTcp);
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
  if (!prove(request, {leg.client, leg.local, 0, true}, proof, record)) return;
  if (relay_.find(proof.flow) != index) {
    legs_.close(ref);  // one connection, one session
    leg_of_flow_.erase(index);
    return;
  }
  on_leg_proof(index, leg, proof, packet);
}

void RtcWorker::on_leg_proof(std::uint32_t index, TcpLeg& leg, const Proof& proof,
                             ByteView packet) {
  leg.packet_ms = leg.proof_ms = relay_.flow(index).stun_ms = monotonic_ms();
  on_way(index, {true, {leg.client, 0}, leg.local}, proof);
  relay_.forward(index, packet);
}

TcpLeg* RtcWorker::leg_of(std::uint32_t index) {
  const auto found = leg_of_flow_.find(index);
  return found == leg_of_flow_.end() ? nullptr : legs_.find(found->second);
}

void RtcWorker::attach(LegRef ref, std::uint32_t index) {
  TcpLeg* leg = legs_.find(ref);
  if (leg == nullptr) return;
  const auto before = leg_of_flow_.find(index);
  if (before != leg_of_flow_.end()) {
    legs_.close(before->second);
    // Another connection of the client's: the table has the address of the one before.
    UdpFlow& flow = relay_.flow(index);
    if (flow.transport == ipc::FlowTransport::kTcp) flow.recorded = false;
  }
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
    abandoned_.push_back({flow.ref, monotonic_ms() + kReturnMs});
  }
}

// A browser whose connection broke makes another one, perhaps to another worker.
void RtcWorker::end_abandoned(std::uint64_t now) {
  std::erase_if(abandoned_, [&](const Abandoned& each) {
    const std::uint32_t index = relay_.find(each.flow);
    const bool back = index == kNoFlow || leg_of(index) != nullptr ||
                      relay_.flow(index).transport != ipc::FlowTransport::kTcp;
    if (!back && now < each.until_ms) return false;
    if (!back) relay_.end(index, {ipc::FlowEndReason::kClosed, "client_closed"});
    return true;
  });
}

}  // namespace weir::rtc
