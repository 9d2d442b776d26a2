// First byte: which side, and whether with digest. The rest is what the peer sends.
#include <cstdlib>

#include "common/proto/rtmp/handshake.h"

using namespace weir;

static void zero_hmac(ByteView, ByteView, std::uint8_t* out) {
  std::fill_n(out, 32, std::uint8_t{0});
}
static void zero_random(MutableBytes out) {
  std::fill(out.begin(), out.end(), std::uint8_t{0});
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const rtmp::HandshakeCrypto crypto{zero_hmac, zero_random};
  rtmp::ServerHandshake server(crypto);
  rtmp::ClientHandshake client(crypto, {(data[0] & 2) != 0, {}});
  std::vector<std::uint8_t> out;
  if ((data[0] & 1) != 0) client.start(out);
  ByteView in(data + 1, size - 1);
  const std::size_t before = in.size();
  const auto status = (data[0] & 1) != 0 ? client.feed(in, out) : server.feed(in, out);
  if (before - in.size() > 3073 || out.size() > 2 * 3073) std::abort();
  if (status == ParseStatus::kNeedMore && !in.empty()) std::abort();
  return 0;
}
