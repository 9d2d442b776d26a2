// A datagram as STUN: what was parsed lies within it, and what is written again reads the same.
#include <cstdlib>

#include "t/00unit/proto_rtc_support.h"

using namespace weir;
using namespace weir::rtc;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  StunMessage message;
  const ByteView in{data, size};
  if (parse_stun(in, message) != StunError::kNone) return 0;
  if (message.username.size() > kStunUsernameBytes) std::abort();
  (void)integrity_ok(message, as_bytes("VOkJxbRl1RmTxUk/WvJxBt"), test::kCrypto);
  std::uint8_t buffer[kStunWriteBytes];
  StunWriter writer(buffer, message.cls, message.method, message.transaction);
  if (!message.username.empty()) writer.add(StunAttribute::kUsername, as_bytes(message.username));
  if (message.mapped) writer.add_xor_mapped_address(*message.mapped);
  writer.add_integrity(as_bytes("key"), test::kCrypto).add_fingerprint();
  StunMessage again;
  if (parse_stun(writer.finish(), again) != StunError::kNone) std::abort();
  if (again.username != message.username || again.cls != message.cls) std::abort();
  if (again.method != message.method || !again.has_fingerprint) std::abort();
  if (!integrity_ok(again, as_bytes("key"), test::kCrypto)) std::abort();
  return 0;
}
