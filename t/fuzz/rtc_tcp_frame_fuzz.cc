// The first byte is the size of the pieces: frames come out the same in pieces and at once.
#include <cstdlib>

#include "common/proto/rtc/tcp_frame.h"

using namespace weir;

static std::vector<std::uint8_t> run(ByteView stream, std::size_t piece) {
  rtc::FrameSplitter splitter(1500);
  std::vector<std::uint8_t> out;
  while (!stream.empty()) {
    ByteView in = stream.first(std::min(piece, stream.size()));
    stream = stream.subspan(in.size());
    ByteView frame;
    ParseStatus status = ParseStatus::kComplete;
    while ((status = splitter.next(in, frame)) == ParseStatus::kComplete) {
      out.push_back(0xFE);
      out.insert(out.end(), frame.begin(), frame.end());
    }
    if (status == ParseStatus::kInvalid) return out;
    if (!in.empty() || splitter.buffered_bytes() > 1502) std::abort();
  }
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  if (run({data + 1, size - 1}, size) != run({data + 1, size - 1}, data[0] + 1U)) std::abort();
  return 0;
}
