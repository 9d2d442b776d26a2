#include "common/proto/rtc/tcp_frame.h"

#include <algorithm>

namespace weir::rtc {

// Moves bytes until buffer_ has `want` of them.
bool FrameSplitter::take(ByteView& in, std::size_t want) {
  const std::size_t n = std::min(want - std::min(want, buffer_.size()), in.size());
  buffer_.insert(buffer_.end(), in.begin(), in.begin() + static_cast<std::ptrdiff_t>(n));
  in = in.subspan(n);
  return buffer_.size() >= want;
}

// Goes on with a frame whose beginning came in an earlier call.
ParseStatus FrameSplitter::resume(ByteView& in, ByteView& frame) {
  if (!take(in, kFrameHeaderBytes)) return ParseStatus::kNeedMore;
  const std::size_t size = load_be16(buffer_.data());
  if (size > max_frame_) return ParseStatus::kInvalid;
  if (!take(in, kFrameHeaderBytes + size)) return ParseStatus::kNeedMore;
  frame = ByteView(buffer_).subspan(kFrameHeaderBytes);
  handed_out_ = true;
  return ParseStatus::kComplete;
}

ParseStatus FrameSplitter::next(ByteView& in, ByteView& frame) {
  frame = {};
  while (!invalid_) {
    if (handed_out_) buffer_.clear();
    handed_out_ = false;
    if (!buffer_.empty()) {
      const ParseStatus status = resume(in, frame);
      invalid_ = status == ParseStatus::kInvalid;
      if (status != ParseStatus::kComplete || !frame.empty()) return status;
      continue;
    }
    if (in.empty()) return ParseStatus::kNeedMore;
    if (in.size() < kFrameHeaderBytes) {
      take(in, kFrameHeaderBytes);
      return ParseStatus::kNeedMore;
    }
    const std::size_t size = load_be16(in.data());
    invalid_ = size > max_frame_;
    if (invalid_) break;
    if (in.size() < kFrameHeaderBytes + size) {
      take(in, kFrameHeaderBytes + size);
      return ParseStatus::kNeedMore;
    }
    frame = in.subspan(kFrameHeaderBytes, size);
    in = in.subspan(kFrameHeaderBytes + size);
    if (size > 0) return ParseStatus::kComplete;
  }
  return ParseStatus::kInvalid;
}

}  // namespace weir::rtc
