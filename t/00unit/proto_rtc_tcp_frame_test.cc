// RFC 4571 frames: whatever the segments, the same packets come out.
#include <doctest/doctest.h>

#include "common/proto/rtc/tcp_frame.h"

namespace weir::rtc {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes framed(const std::vector<Bytes>& packets) {
  Bytes out;
  for (const Bytes& packet : packets) {
    std::uint8_t header[kFrameHeaderBytes];
    store_frame_header(header, packet.size());
    out.insert(out.end(), header, header + sizeof header);
    out.insert(out.end(), packet.begin(), packet.end());
  }
  return out;
}

// All frames of `stream`, fed in pieces of `piece` bytes.
std::vector<Bytes> split(const Bytes& stream, std::size_t piece, std::size_t max_frame,
                         ParseStatus& last) {
  FrameSplitter splitter(max_frame);
  std::vector<Bytes> out;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    ByteView in = ByteView(stream).subspan(at, std::min(piece, stream.size() - at));
    ByteView frame;
    while ((last = splitter.next(in, frame)) == ParseStatus::kComplete) {
      out.emplace_back(frame.begin(), frame.end());
    }
    if (last == ParseStatus::kInvalid) return out;
    CHECK(in.empty());
    CHECK(splitter.buffered_bytes() <= max_frame + kFrameHeaderBytes);
  }
  return out;
}

TEST_CASE("frames come out the same however they are cut") {
  const std::vector<Bytes> packets = {{1}, {2, 3, 4}, Bytes(300, 7), {0, 0}, Bytes(1200, 9), {5}};
  const Bytes stream = framed(packets);
  ParseStatus last = ParseStatus::kComplete;
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    REQUIRE(split(stream, piece, 1500, last) == packets);
    CHECK(last == ParseStatus::kNeedMore);
  }
}

TEST_CASE("empty frames are skipped") {
  ParseStatus last = ParseStatus::kComplete;
  const Bytes stream = framed({{}, {}, {1}, {}, {2}, {}});
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    CHECK(split(stream, piece, 10, last) == std::vector<Bytes>{{1}, {2}});
  }
}

TEST_CASE("a frame over the limit ends it before its bytes are kept") {
  ParseStatus last = ParseStatus::kComplete;
  const Bytes stream = framed({{1}, Bytes(11, 2), {3}});
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    CHECK(split(stream, piece, 10, last) == std::vector<Bytes>{{1}});
    CHECK(last == ParseStatus::kInvalid);
  }
  FrameSplitter splitter(10);
  ByteView in = stream;
  ByteView frame;
  CHECK(splitter.next(in, frame) == ParseStatus::kComplete);
  CHECK(splitter.next(in, frame) == ParseStatus::kInvalid);
  CHECK(splitter.next(in, frame) == ParseStatus::kInvalid);
  CHECK(splitter.buffered_bytes() == 0);
}

}  // namespace
}  // namespace weir::rtc
