// What Weir can know to be wrong in a caller's conclusion before an origin sees it: values that
// libsrt answers with silence or a rejection, and sizes that its listeners don't check
// (libsrt 1.5: CHandShake::valid(), CUDT::acceptAndRespond(), interpretSrtHandshake()). One such
// packet must not end an origin. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/proto/srt/packet.h"

namespace weir::srt {

// A listener writes its answer into a buffer of one payload: headers (IPv6 40, UDP 8, SRT 16), the
// handshake (48), and the extensions HSRSP (16), congestion control (20), packet filter (68),
// group (12) and KMRSP (108), with their heads. In less it overruns its heap.
inline constexpr std::uint32_t kLeastMss = 40 + 8 + 16 + 48 + 16 + 20 + 68 + 12 + 108;
inline constexpr std::uint32_t kMostMss = 65535;  // an IP packet
// Packets. A listener allocates and fills a loss list of twice as many before it says yes; 2^18 are
// 3 Gbit/s for a second.
inline constexpr std::uint32_t kLeastWindow = 32;  // what libsrt's own option takes at least
inline constexpr std::uint32_t kMostWindow = 1U << 18;
inline constexpr std::uint32_t kMostSequence = 0x7FFFFFFE;
inline constexpr std::size_t kMostExtensions = 16;
inline constexpr std::uint32_t kMostFecSide = 512;  // columns, or rows, of a FEC matrix
inline constexpr std::uint32_t kMostFecCells = 1U
                                               << 14;  // the listener buffers one payload a group

struct ConclusionFault {
  std::string_view field;
  std::uint64_t value = 0;
  std::uint64_t least = 0;  // that is allowed
  std::uint64_t most = 0;
  Reject code = Reject::kRogue;
};
// `mss 76, allowed 336 to 65535`
std::string to_string(const ConclusionFault& fault);

// REQUIRES: a parsed handshake of type conclusion.
std::optional<ConclusionFault> check_conclusion(const Handshake& conclusion);

// The same conclusion with this stream id, in the place of the one that it has or behind the first
// extension; all else as it was. REQUIRES: check_conclusion() found nothing; a stream id of 1 to
// 512 bytes. False: longer than limits::kSrtConclusionBytes.
bool with_stream_id(ByteView conclusion, std::string_view stream_id,
                    std::vector<std::uint8_t>& out);

}  // namespace weir::srt
