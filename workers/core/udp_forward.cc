#include "workers/core/udp_forward.h"

#include <algorithm>
#include <cerrno>

#include "common/base/clock.h"

namespace weir {
namespace {

// Batches of one socket before the others get their turn.
constexpr int kClientBatches = 8;
constexpr int kOriginBatches = 4;

}  // namespace

UdpForwarder::UdpForwarder(const UdpRelaySettings& settings, UdpProtocol& protocol, UdpFlows& flows,
                           UdpClaims& claims, const std::vector<SlotSocket>& sockets,
                           ipc::Counters& counters)
    : settings_(settings),
      protocol_(protocol),
      flows_(flows),
      claims_(claims),
      sockets_(sockets),
      counters_(counters) {
  for (std::size_t i = 0; i < special_.size(); ++i) {
    special_[i] = protocol.special(static_cast<std::uint8_t>(i));
  }
}

bool UdpForwarder::any_special(const UdpPiece& piece) const {
  if (piece.bytes.empty()) return true;
  for (std::size_t at = 0; at < piece.bytes.size(); at += piece.segment) {
    if (special_[piece.bytes[at]]) return true;
  }
  return false;
}

// ---- client to origin

bool UdpForwarder::read_clients(std::size_t socket) {
  now_ms_ = monotonic_ms();
  for (int batch = 0; batch < kClientBatches; ++batch) {
    const int n = receiver_.receive(sockets_[socket].fd.get());
    if (n <= 0) return false;
    sort_batch(socket, n);
    send_upward();
    if (!receiver_.full(n)) return false;
  }
  return true;
}

void UdpForwarder::sort_batch(std::size_t socket, int count) {
  const Endpoint& bound = sockets_[socket].bound;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const UdpPiece piece = receiver_.piece(i);
    ClientPacket packet{{receiver_.from(i), protocol_.client_id(piece.bytes)},
                        receiver_.to(i),
                        static_cast<std::uint16_t>(socket),
                        piece.bytes};
    if (packet.local.empty()) packet.local = bound;
    packet.local.port = bound.port;
    if (settings_.packet_ids && piece.packets() > 1) {
      sort_ids(packet, piece);
    } else {
      sort_piece(packet, piece);
    }
  }
}

// The kernel joins what came from one address, whichever session it belongs to.
void UdpForwarder::sort_ids(ClientPacket packet, const UdpPiece& piece) {
  const auto id_at = [&](std::size_t at) {
    return protocol_.client_id(
        piece.bytes.subspan(at, std::min(piece.segment, piece.bytes.size() - at)));
  };
  for (std::size_t begin = 0; begin < piece.bytes.size();) {
    packet.key.id = id_at(begin);
    std::size_t end = begin + piece.segment;
    while (end < piece.bytes.size() && id_at(end) == packet.key.id) end += piece.segment;
    end = std::min(end, piece.bytes.size());
    packet.bytes = piece.bytes.subspan(begin, end - begin);
    sort_piece(packet, {packet.bytes, piece.segment});
    begin = end;
  }
}

void UdpForwarder::sort_piece(const ClientPacket& packet, const UdpPiece& piece) {
  if (!any_special(piece)) {
    add_upward(packet, piece);
    return;
  }
  std::size_t at = 0;
  do {
    const std::size_t size = std::min(piece.segment, piece.bytes.size() - at);
    ClientPacket one = packet;
    one.bytes = piece.bytes.subspan(at, size);
    if (!one.bytes.empty() && special_[one.bytes[0]]) {
      if (protocol_.inspect(one, flows_.find(one.key))) add_upward(one, {one.bytes, size});
    } else if (!one.bytes.empty()) {
      add_upward(one, {one.bytes, size});
    }
    at += piece.segment;
  } while (at < piece.bytes.size());
}

void UdpForwarder::add_upward(const ClientPacket& packet, const UdpPiece& piece) {
  const std::uint32_t index = flows_.find(packet.key);
  if (index == kNoFlow) {
    if (claims_.park(packet, piece.segment)) return;
    counters_.add(settings_.counters.strangers);
    protocol_.on_stranger(packet);
    return;
  }
  UdpFlow& flow = flows_[index];
  flow.client_ms = now_ms_;
  flow.media_seen = true;
  flow.client_spoke = true;
  for (std::size_t i = 0; i < flow.path_count; ++i) {
    if (flow.paths[i].key == packet.key) flow.paths[i].packet_ms = now_ms_;
  }
  upward_.push_back({index, piece});
}

void UdpForwarder::send_upward() {
  for (std::size_t i = 0; i < upward_.size(); ++i) {
    const std::uint32_t index = upward_[i].flow;
    if (index == kNoFlow) continue;
    pieces_.clear();
    for (std::size_t j = i; j < upward_.size(); ++j) {
      if (upward_[j].flow != index) continue;
      pieces_.push_back(upward_[j].piece);
      upward_[j].flow = kNoFlow;
    }
    to_origin(flows_[index], pieces_);
  }
  pieces_.clear();
  upward_.clear();
}

void UdpForwarder::to_origin(UdpFlow& flow, std::span<const UdpPiece> pieces) {
  const UdpSent sent = sender_.send({flow.upstream.get(), false, {}, {}}, pieces, flow.segment_up);
  if (sent.cannot_segment) flow.segment_up = false;
  if (sent.refused && flow.refused_since_ms == 0) flow.refused_since_ms = now_ms_;
  flow.total.packets_from_client += sent.packets;
  flow.total.bytes_from_client += sent.bytes;
  flow.total.drops += sent.dropped;
  counters_.add(settings_.counters.packets_from_clients, sent.packets);
  counters_.add(settings_.counters.bytes_from_clients, sent.bytes);
  if (sent.dropped > 0) counters_.add(settings_.counters.drops_up, sent.dropped);
}

void UdpForwarder::forward(std::uint32_t index, ByteView packet) {
  UdpFlow& flow = flows_[index];
  flow.client_ms = monotonic_ms();
  const UdpPiece piece{packet, std::max<std::size_t>(packet.size(), 1)};
  to_origin(flow, {&piece, 1});
}

void UdpForwarder::resume(const UdpClaims::Claim& claim) {
  ClientPacket packet = claim.from;
  now_ms_ = monotonic_ms();
  for (const std::vector<std::uint8_t>& bytes : claim.parked) {
    packet.bytes = bytes;
    sort_piece(packet, {packet.bytes, std::max<std::size_t>(bytes.size(), 1)});
  }
  send_upward();
}

// ---- origin to client

bool UdpForwarder::read_origin(std::uint32_t index) {
  now_ms_ = monotonic_ms();
  UdpFlow& flow = flows_[index];
  for (int batch = 0; batch < kOriginBatches; ++batch) {
    const int n = receiver_.receive(flow.upstream.get());
    if (n == -ECONNREFUSED) {
      if (flow.refused_since_ms == 0) flow.refused_since_ms = now_ms_;
      protocol_.on_unreachable(index);
      continue;
    }
    if (n <= 0) return false;
    flow.origin_ms = now_ms_;
    flow.refused_since_ms = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
      sort_origin_piece(index, receiver_.piece(i));
    }
    flush_downward(index);
    if (!receiver_.full(n)) return false;
  }
  return true;
}

void UdpForwarder::sort_origin_piece(std::uint32_t index, const UdpPiece& piece) {
  if (!any_special(piece)) {
    add_downward(index, flows_[index].media_path(), piece);
    return;
  }
  for (std::size_t at = 0; at < piece.bytes.size(); at += piece.segment) {
    const std::size_t size = std::min(piece.segment, piece.bytes.size() - at);
    const UdpPiece one{piece.bytes.subspan(at, size), size};
    if (!special_[one.bytes[0]]) {
      add_downward(index, flows_[index].media_path(), one);
      continue;
    }
    const std::uint8_t path = protocol_.path_of(index, one.bytes);
    if (path == kNoPath) to_client(index, kNoPath, {&one, 1});  // dropped
    if (path != kTaken && path != kNoPath) add_downward(index, path, one);
  }
}

// What goes one way leaves in the order in which it came: no SHUTDOWN before the data of its batch.
void UdpForwarder::add_downward(std::uint32_t index, std::uint8_t path, const UdpPiece& piece) {
  if (path != pieces_path_) flush_downward(index);
  pieces_path_ = path;
  pieces_.push_back(piece);
}

void UdpForwarder::flush_downward(std::uint32_t index) {
  // Media that came before its client was known goes there if it is known by now.
  const std::uint8_t path = pieces_path_ == kNoPath ? flows_[index].media_path() : pieces_path_;
  if (!pieces_.empty()) to_client(index, path, pieces_);
  pieces_.clear();
}

void UdpForwarder::to_client(std::uint32_t index, std::uint8_t path,
                             std::span<const UdpPiece> pieces) {
  UdpFlow& flow = flows_[index];
  UdpSent sent;
  if (path == kTcpPath) {
    for (const UdpPiece& piece : pieces) to_tcp(index, piece, sent);
  } else if (path < flow.path_count) {
    const UdpClientPath& to = flow.paths[path];
    const SlotSocket& socket = sockets_[to.socket];
    sent = sender_.send(
        {socket.fd.get(), socket.bound.family == Family::kIpv6, to.key.address, to.local}, pieces,
        flow.segment_down);
    if (sent.cannot_segment) flow.segment_down = false;
  } else {
    for (const UdpPiece& piece : pieces) sent.dropped += piece.packets();
  }
  flow.total.packets_to_client += sent.packets;
  flow.total.bytes_to_client += sent.bytes;
  flow.total.drops += sent.dropped;
  counters_.add(settings_.counters.packets_to_clients, sent.packets);
  counters_.add(settings_.counters.bytes_to_clients, sent.bytes);
  if (sent.dropped > 0) counters_.add(settings_.counters.drops_down, sent.dropped);
}

void UdpForwarder::to_tcp(std::uint32_t index, const UdpPiece& piece, UdpSent& sent) {
  for (std::size_t at = 0; at < piece.bytes.size(); at += piece.segment) {
    const std::size_t size = std::min(piece.segment, piece.bytes.size() - at);
    const bool taken = protocol_.to_tcp(index, piece.bytes.subspan(at, size));
    sent.packets += taken ? 1U : 0U;
    sent.bytes += taken ? size : 0U;
    sent.dropped += taken ? 0U : 1U;
  }
}

void UdpForwarder::reply(const ClientPacket& to, ByteView packet) {
  const SlotSocket& socket = sockets_[to.socket];
  const UdpPiece piece{packet, std::max<std::size_t>(packet.size(), 1)};
  sender_.send({socket.fd.get(), socket.bound.family == Family::kIpv6, to.key.address, to.local},
               {&piece, 1}, false);
}

}  // namespace weir
