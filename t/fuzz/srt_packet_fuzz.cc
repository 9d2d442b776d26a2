// A datagram as SRT: what is written from a parsed handshake reads the same, and nothing overruns.
#include <cstdlib>

#include "common/proto/srt/conclusion.h"

using namespace weir;
using namespace weir::srt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView in(data, size);
  Header header;
  if (parse_header(in, header) != (size >= kHeaderBytes)) std::abort();
  (void)ack_info(in);
  if (lost_packets(in) > (size / 8 + 1) << 20) std::abort();
  Handshake handshake;
  if (parse_handshake(in, handshake) != HandshakeError::kNone) return 0;
  std::string stream_id;
  if (stream_id_of(handshake, stream_id) && stream_id.size() > 512) std::abort();
  std::uint8_t out[kHandshakeBytes];
  Handshake again;
  if (parse_handshake(write_handshake(out, handshake, *parse_ip("::1")), again) !=
      HandshakeError::kNone) {
    std::abort();
  }
  if (again.cookie != handshake.cookie || again.type != handshake.type) std::abort();
  if (again.socket_id != handshake.socket_id || again.extension != handshake.extension)
    std::abort();
  if (check_conclusion(handshake)) return 0;
  std::vector<std::uint8_t> sent;
  if (!with_stream_id(in, "#!::r=live/a,m=publish", sent)) return 0;
  if (parse_handshake(sent, again) != HandshakeError::kNone || check_conclusion(again))
    std::abort();
  if (!stream_id_of(again, stream_id) || stream_id != "#!::r=live/a,m=publish") std::abort();
  return 0;
}
