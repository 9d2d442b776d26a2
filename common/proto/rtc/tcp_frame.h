// Packets in a TCP stream, each behind a 16-bit length (RFC 4571), as ICE over TCP has them
// (RFC 6544). Pure. One splitter a direction and connection; holds at most one unfinished frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/bytes.h"

namespace weir::rtc {

inline constexpr std::size_t kFrameHeaderBytes = 2;

class FrameSplitter {
 public:
  // A longer frame than `max_frame` ends the connection.
  explicit FrameSplitter(std::size_t max_frame) : max_frame_(max_frame) {}

  // Takes bytes from the front of `in` (and shortens it). kComplete: `frame` is the next packet, a
  // view of `in`'s bytes or of this object's, valid until the next call; call again for more.
  // kNeedMore: `in` is empty. kInvalid: a frame is too long. Empty frames are skipped.
  ParseStatus next(ByteView& in, ByteView& frame);
  std::size_t buffered_bytes() const { return buffer_.size(); }

 private:
  ParseStatus resume(ByteView& in, ByteView& frame);
  bool take(ByteView& in, std::size_t want);

  std::size_t max_frame_;
  std::vector<std::uint8_t> buffer_;  // header and the beginning of a frame
  bool handed_out_ = false;           // the last frame was a view of buffer_
  bool invalid_ = false;
};

// The header of a frame of `size` bytes. REQUIRES: size <= 65535.
inline void store_frame_header(std::uint8_t* out, std::size_t size) {
  store_be16(out, static_cast<std::uint16_t>(size));
}

}  // namespace weir::rtc
