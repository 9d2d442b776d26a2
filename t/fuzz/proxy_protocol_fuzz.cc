// Any bytes as a PROXY header: no piece of it is complete, and what it says can be written again.
#include <cstdlib>

#include "common/proto/proxy_protocol.h"

namespace weir::proxy_protocol {

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Header header, again;
  Error error = Error::kNone;
  const ParseStatus status = parse({data, size}, header, error);
  if ((status == ParseStatus::kInvalid) != (error != Error::kNone)) std::abort();
  if (status == ParseStatus::kNeedMore && size >= kMaxV2Bytes) std::abort();
  if (status != ParseStatus::kComplete) return 0;
  if (header.consumed > size || header.consumed > kMaxV2Bytes) std::abort();
  for (std::size_t n = 0; n < header.consumed; ++n) {
    if (parse({data, n}, again, error) != ParseStatus::kNeedMore) std::abort();
  }
  for (const bool second : {false, true}) {
    std::vector<std::uint8_t> out;
    if (second) write_v2(out, header.source, header.destination);
    if (!second) write_v1(out, header.source, header.destination);
    if (parse(out, again, error) != status || again.consumed != out.size()) std::abort();
    if (again.source != header.source || again.destination != header.destination) std::abort();
  }
  return 0;
}

}  // namespace weir::proxy_protocol
