// Any bytes as a chunk stream, whole and byte by byte: the same events' bytes, which are the input.
#include <cstdlib>

#include "common/proto/rtmp/chunk.h"

using namespace weir;

static rtmp::ChunkError parse(ByteView in, std::size_t step, std::vector<std::uint8_t>& out) {
  rtmp::ChunkParser parser({16, 4096});
  parser.collect(1U << rtmp::kCommandAmf0);
  rtmp::ChunkEvent event;
  while (!in.empty()) {
    ByteView piece = in.first(std::min(step, in.size()));
    in = in.subspan(piece.size());
    ParseStatus status = ParseStatus::kComplete;
    while ((status = parser.next(piece, event)) == ParseStatus::kComplete) {
      out.insert(out.end(), event.bytes.begin(), event.bytes.end());
    }
    if (status == ParseStatus::kInvalid || parser.collected_bytes() > 4096) break;
  }
  return parser.error();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::uint8_t> whole, bytes;
  const ByteView in(data, size);
  if (parse(in, SIZE_MAX, whole) != parse(in, 1, bytes)) std::abort();
  if (!std::equal(whole.begin(), whole.end(), data) || whole.size() > size) std::abort();
  return 0;
}
