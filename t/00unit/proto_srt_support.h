// A handshake as libsrt 1.5.1 made it (srt-live-transmit, passphrase, stream id), recorded between
// a caller and a listener, with the packets that followed.
#pragma once

#include <string_view>
#include <vector>

#include "common/proto/srt/packet.h"

namespace weir::srt::test {

using Bytes = std::vector<std::uint8_t>;

inline Bytes from_hex(std::string_view hex) {
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  Bytes out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<std::uint8_t>(value(hex[i]) * 16 + value(hex[i + 1])));
  }
  return out;
}

inline constexpr std::string_view kCallerInduction =
    "80000000000000000000006600000000000000040000000220bba471000005dc00002000000000012e105eb2000000"
    "00"
    "0100007f000000000000000000000000";
inline constexpr std::string_view kListenerInduction =
    "800000000000000000079ce62e105eb20000000500024a1720bba471000005dc00002000000000012e105eb23e0689"
    "8a"
    "0100007f000000000000000000000000";
// Extensions: HSREQ, the stream id `#!::r=live/livestream,m=publish`, KMREQ.
inline constexpr std::string_view kCallerConclusion =
    "80000000000000000000040e00000000000000050002000720bba471000005dc00002000ffffffff2e105eb23e0689"
    "8a"
    "0100007f0000000000000000000000000001000300010501000000bf00780000000500083a3a2123696c3d726c2f65"
    "76"
    "73657669616572743d6d2c6d6c627570006873690003000e12202901000000000200020000000404b6b8338f34d4fe"
    "6a"
    "2915d96ba5af1545475079d4f65d5fdf4020136364437732d409b4faceec0efd";
inline constexpr std::string_view kListenerConclusion =
    "8000000000000000000003b32e105eb2000000050002000320bba471000005dc00002000ffffffff2e619ddb3e0689"
    "8a"
    "0100007f0000000000000000000000000002000300010501000000bf007800780004000e1220290100000000020002"
    "00"
    "00000404b6b8338f34d4fe6a2915d96ba5af1545475079d4f65d5fdf4020136364437732d409b4faceec0efd";
inline constexpr std::string_view kData = "20bba471c800000100000a7c2e619ddbd20a0e17ecaa0b9c";
inline constexpr std::string_view kAck =
    "800200000000000100002e192e105eb220bba476000186a00000c35000001ffa00000001000003e8000005dc";
inline constexpr std::string_view kAckAck = "8006000000000001000033162e619ddb00000000";

inline constexpr std::uint32_t kCallerId = 0x2e105eb2;
inline constexpr std::uint32_t kListenerId = 0x2e619ddb;
inline constexpr std::uint32_t kListenerCookie = 0x3e06898a;

// Appends an extension with `text` as the stream id, in the order of the wire.
inline void append_stream_id(Bytes& out, std::string_view text) {
  const std::size_t words = (text.size() + 3) / 4;
  const std::size_t at = out.size();
  out.resize(at + 4 + words * 4);
  store_be16(out.data() + at, static_cast<std::uint16_t>(ExtensionType::kStreamId));
  store_be16(out.data() + at + 2, static_cast<std::uint16_t>(words));
  for (std::size_t i = 0; i < text.size(); ++i) {
    out[at + 4 + (i ^ 3)] = static_cast<std::uint8_t>(text[i]);
  }
}

}  // namespace weir::srt::test
