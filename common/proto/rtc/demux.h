// What a datagram on the WebRTC port is, told by its first byte (RFC 7983, section 7). Pure.
#pragma once

#include <cstdint>

#include "common/base/bytes.h"

namespace weir::rtc {

// kRtp: RTP and RTCP. kOther: ranges that no WebRTC peer sends here (ZRTP, TURN channels, QUIC)
// and the empty datagram.
enum class PacketKind : std::uint8_t { kOther, kStun, kDtls, kRtp };

constexpr PacketKind packet_kind(ByteView packet) {
  if (packet.empty()) return PacketKind::kOther;
  const std::uint8_t first = packet[0];
  if (first <= 3) return PacketKind::kStun;
  if (first >= 20 && first <= 63) return PacketKind::kDtls;
  if (first >= 128 && first <= 191) return PacketKind::kRtp;
  return PacketKind::kOther;
}

// Of the kind kRtp: RTCP if the payload type is in RTCP's range (RFC 5761, section 4).
constexpr bool is_rtcp(ByteView packet) {
  return packet.size() >= 2 && packet[1] >= 192 && packet[1] <= 223;
}

}  // namespace weir::rtc
