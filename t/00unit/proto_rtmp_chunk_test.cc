// The chunk parser and writer: formats, sizes, extended timestamps, interleaving, limits, splits.
#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "common/proto/rtmp/chunk.h"

namespace weir::rtmp {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Seen {
  std::uint32_t csid;
  ChunkState state;
  Bytes payload;
  friend bool operator==(const Seen&, const Seen&) = default;
};
struct Run {
  std::vector<Seen> messages;
  Bytes echoed;
  ChunkError error = ChunkError::kNone;
  bool boundary = false;
  std::uint32_t chunk_size = 0;
  friend bool operator==(const Run&, const Run&) = default;
};

// Parses everything in pieces; type bits collected, other payloads gathered from the events.
Run parse(const Bytes& in, std::size_t step, std::uint32_t bits = 0,
          const ChunkParser::Limits& limits = {}) {
  ChunkParser parser(limits);
  parser.collect(bits);
  Run run;
  std::vector<std::pair<std::uint32_t, Bytes>> partial;
  const auto gathered = [&](std::uint32_t csid) -> Bytes& {
    for (auto& [id, bytes] : partial) {
      if (id == csid) return bytes;
    }
    return partial.emplace_back(csid, Bytes()).second;
  };
  ByteView rest(in);
  while (!rest.empty()) {
    ByteView piece = rest.first(std::min(step, rest.size()));
    rest = rest.subspan(piece.size());
    ChunkEvent event;
    ParseStatus status = ParseStatus::kNeedMore;
    while ((status = parser.next(piece, event)) == ParseStatus::kComplete) {
      CHECK(event.offset == run.echoed.size());
      run.echoed.insert(run.echoed.end(), event.bytes.begin(), event.bytes.end());
      CHECK(parser.emitted() == run.echoed.size());
      Bytes& payload = gathered(event.csid);
      if (event.message_begin) payload.clear();
      if (event.kind == ChunkEvent::Kind::kPayload) {
        payload.insert(payload.end(), event.bytes.begin(), event.bytes.end());
      }
      if (!event.message_end) continue;
      if (event.collected) CHECK(Bytes(event.message.begin(), event.message.end()) == payload);
      run.messages.push_back({event.csid, event.state, payload});
    }
    if (status == ParseStatus::kInvalid) break;
  }
  run.error = parser.error();
  run.boundary = parser.at_boundary();
  run.chunk_size = parser.chunk_size();
  return run;
}

Run parse_both(const Bytes& in, std::uint32_t bits = 0, const ChunkParser::Limits& limits = {}) {
  const Run whole = parse(in, SIZE_MAX, bits, limits);
  for (const std::size_t step : {1UL, 2UL, 3UL, 5UL, 131UL}) {
    const Run pieces = parse(in, step, bits, limits);
    CHECK(pieces.messages == whole.messages);
    CHECK(pieces.error == whole.error);
    if (whole.error == ChunkError::kNone) CHECK(pieces == whole);
  }
  return whole;
}

ChunkHeaderFields fields(std::uint8_t fmt, std::uint32_t csid, std::uint32_t time,
                         std::uint8_t type = kVideo, std::uint32_t stream_id = 1) {
  ChunkHeaderFields f;
  f.fmt = fmt;
  f.csid = csid;
  f.time = time;
  f.type = type;
  f.stream_id = stream_id;
  return f;
}

Bytes numbered(std::size_t size) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(i * 13);
  return out;
}

TEST_CASE("headers of all formats, as RTMP 1.0 draws them") {
  Bytes out;
  write_chunk_header(out, [] {
    auto f = fields(0, 3, 0x010203);
    f.length = 5;
    return f;
  }());
  CHECK(out == Bytes{0x03, 1, 2, 3, 0, 0, 5, 9, 1, 0, 0, 0});
  out.clear();
  write_chunk_header(out, fields(2, 64, 7));
  CHECK(out == Bytes{0x80, 0, 0, 0, 7});
  out.clear();
  write_chunk_header(out, fields(3, 320, 0));
  CHECK(out == Bytes{0xC1, 0, 1});
  out.clear();
  write_chunk_header(out, fields(2, 65599, 0x01000000));
  CHECK(out == Bytes{0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0});
}

TEST_CASE("what the writer writes the parser reads, for every chunk size and csid form") {
  for (const std::uint32_t size : {1U, 2U, 127U, 128U, 129U, 4096U, 65536U, 65537U}) {
    for (const std::uint32_t csid : {2U, 63U, 64U, 319U, 320U, 65599U}) {
      Bytes out;
      Bytes control(4);
      store_be32(control.data(), size);
      write_message(out, fields(0, 2, 0, kSetChunkSize, 0), control, 128);
      ChunkState state = write_message(out, fields(0, csid, 1000), numbered(300), size,
                                       csid == 2 ? ChunkState{} : ChunkState{});
      state = write_message(out, fields(1, csid, 40), numbered(200), size, state);
      state = write_message(out, fields(2, csid, 20), numbered(200), size, state);
      state = write_message(out, fields(3, csid, 0), numbered(200), size, state);
      const Run run = size == 65536U ? parse_both(out) : parse(out, 7);
      REQUIRE(run.messages.size() == 5);
      CHECK(run.echoed == out);
      CHECK(run.boundary);
      CHECK(run.chunk_size == size);
      CHECK(run.messages[4].state.timestamp == 1080);
      CHECK(run.messages[4].state == state);
      CHECK(run.messages[4].payload == numbered(200));
    }
  }
}

TEST_CASE("extended timestamps, repeated in fmt 3 headers or not") {
  for (const bool repeat : {true, false}) {
    for (const std::uint32_t time : {0xFFFFFFU, 0x1000000U, 0xFFFFFFFFU}) {
      for (const std::size_t size : {1UL, 129UL, 130UL, 131UL, 132UL, 300UL, 512UL}) {
        Bytes out;
        auto f = fields(0, 4, time);
        f.length = static_cast<std::uint32_t>(size);
        write_chunk_header(out, f);
        write_chunk_payload(out, 4, numbered(size), 128, repeat, time);
        write_message(out, fields(0, 5, 1), numbered(3), 128);
        const Run run = parse_both(out);
        REQUIRE(run.messages.size() == 2);
        CHECK(run.echoed == out);
        CHECK(run.messages[0].payload == numbered(size));
        CHECK(run.messages[0].state.timestamp == time);
        CHECK(run.messages[0].state.extended);
      }
    }
  }
}

TEST_CASE("a fmt 3 header whose message is complete is decided without waiting") {
  // Not repeated, one payload byte left, then silence: the message must come out.
  Bytes out;
  auto f = fields(0, 4, 0x1000000);
  f.length = 129;
  write_chunk_header(out, f);
  write_chunk_payload(out, 4, numbered(129), 128, false, 0);
  CHECK(parse(out, 1).messages.size() == 1);
  CHECK(parse(out, SIZE_MAX).messages.size() == 1);
}

TEST_CASE("interleaved chunks, abort, and a message begun by fmt 3") {
  Bytes out;
  auto video = fields(0, 6, 10);
  video.length = 300;
  write_chunk_header(out, video);
  const Bytes data = numbered(300);
  out.insert(out.end(), data.begin(), data.begin() + 128);
  write_message(out, fields(0, 4, 10, kAudio), numbered(100), 128);
  out.push_back(0xC6);
  out.insert(out.end(), data.begin() + 128, data.begin() + 256);
  CHECK_FALSE(parse(out, SIZE_MAX).boundary);
  Bytes aborted = out;
  out.push_back(0xC6);
  out.insert(out.end(), data.begin() + 256, data.end());
  Run run = parse_both(out);
  REQUIRE(run.messages.size() == 2);
  CHECK(run.messages[0].csid == 4);
  CHECK(run.messages[1].payload == data);
  CHECK(run.boundary);

  write_message(aborted, fields(0, 2, 0, kAbort, 0), Bytes{0, 0, 0, 6}, 128);
  CHECK(parse(aborted, SIZE_MAX).boundary);
  aborted.push_back(0xC6);  // a new message: delta after fmt 0 is its timestamp
  aborted.insert(aborted.end(), data.begin(), data.begin() + 128);
  CHECK(parse(aborted, 3).error == ChunkError::kNone);
  CHECK_FALSE(parse(aborted, 3).boundary);
}

TEST_CASE("a fresh chunk stream may begin with fmt 1 but not with fmt 2 or 3") {
  CHECK(parse({0x42, 0, 0, 0, 0, 0, 1, 4, 9}, 1).messages.size() == 1);
  CHECK(parse({0x82, 0, 0, 0}, 1).error == ChunkError::kBadHeader);
  CHECK(parse({0xC2}, 1).error == ChunkError::kBadHeader);
}

TEST_CASE("faults and limits") {
  Bytes out;
  auto f = fields(0, 4, 0);
  f.length = 300;
  write_chunk_header(out, f);
  out.resize(out.size() + 128);
  write_chunk_header(out, f);
  CHECK(parse_both(out).error == ChunkError::kBadHeader);
  for (const Bytes& value : {Bytes{0, 0, 0, 0}, Bytes{0x80, 0, 0, 0}, Bytes{1, 2}, Bytes{}}) {
    out.clear();
    write_message(out, fields(0, 2, 0, kSetChunkSize, 0), value, 128);
    CHECK(parse_both(out).error == ChunkError::kBadControl);
  }
  out.clear();
  for (std::uint32_t i = 0; i < 5; ++i) write_message(out, fields(0, 3 + i, 0), numbered(1), 128);
  CHECK(parse_both(out, 0, {5, 100}).error == ChunkError::kNone);
  CHECK(parse_both(out, 0, {4, 100}).error == ChunkError::kStreamsLimit);
  // Collected messages are bounded one by one and all together; others are not.
  out.clear();
  write_message(out, fields(0, 3, 0), numbered(101), 128);
  CHECK(parse_both(out, 1U << kVideo, {4, 100}).error == ChunkError::kMessageTooLarge);
  CHECK(parse_both(out, 0, {4, 100}).error == ChunkError::kNone);
  out.clear();
  auto big = fields(0, 3, 0);
  big.length = 200;
  write_chunk_header(out, big);
  out.resize(out.size() + 128);
  big.csid = 4;
  write_chunk_header(out, big);
  out.resize(out.size() + 128);
  CHECK(parse(out, SIZE_MAX, 1U << kVideo, {4, 256}).error == ChunkError::kNone);
  CHECK(parse(out, SIZE_MAX, 1U << kVideo, {4, 255}).error == ChunkError::kMessageTooLarge);
}

TEST_CASE("random chunk streams come back byte for byte") {
  std::mt19937 engine(7);
  for (int round = 0; round < 200; ++round) {
    Bytes in(2000);
    for (std::uint8_t& b : in) b = static_cast<std::uint8_t>(engine());
    in[0] = 4;
    const Run whole = parse_both(in, 1U << kVideo);
    CHECK(std::equal(whole.echoed.begin(), whole.echoed.end(), in.begin()));
  }
}

}  // namespace
}  // namespace weir::rtmp
