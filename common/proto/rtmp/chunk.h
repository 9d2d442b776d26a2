// RTMP chunk streams (RTMP 1.0, 5.3): an incremental parser that gives back the exact bytes of what
// it parsed, and a writer. Pure. One parser serves one direction of one connection; it holds some
// tens of bytes a chunk stream and the payload of those messages only that the caller asked for, so
// a media message of any size costs nothing.
//
// The parser is pulled: next() takes bytes from the front of the input and returns one event. All
// events' bytes, one after another, are the input, byte for byte; how it was split never matters.
//
// Extended timestamps: RTMP 1.0 repeats the four bytes in fmt 3 headers, some senders don't. The
// parser looks at what follows and compares, byte by byte, with the value that would be repeated.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/limits.h"

namespace weir::rtmp {

enum MessageType : std::uint8_t {
  kSetChunkSize = 1,
  kAbort = 2,
  kAcknowledgement = 3,
  kUserControl = 4,
  kWindowAckSize = 5,
  kSetPeerBandwidth = 6,
  kAudio = 8,
  kVideo = 9,
  kDataAmf3 = 15,
  kCommandAmf3 = 17,
  kDataAmf0 = 18,
  kCommandAmf0 = 20,
  kAggregate = 22,
};

inline constexpr std::uint32_t kDefaultChunkSize = 128;
inline constexpr std::uint32_t kExtendedMark = 0xFFFFFF;
inline constexpr std::size_t kChunkHeaderMax = 3 + 11 + 4;

// What the header compression of one chunk stream refers to. After a fmt 0 header delta is the
// timestamp field itself: a fmt 3 header that begins the next message adds it (5.3.1.2.4).
struct ChunkState {
  std::uint32_t timestamp = 0;
  std::uint32_t delta = 0;
  std::uint32_t length = 0;
  std::uint32_t stream_id = 0;  // the message stream's
  std::uint8_t type = 0;
  bool known = false;     // some header was seen
  bool full = false;      // a fmt 0 header was seen
  bool extended = false;  // the last fmt 0-2 header had an extended timestamp

  friend bool operator==(const ChunkState&, const ChunkState&) = default;
};

enum class ChunkError : std::uint8_t {
  kNone,
  kBadHeader,        // a compressed header on a fresh chunk stream, or a new one within a message
  kBadControl,       // a chunk size of 0 or with bit 31, a control message that is too short
  kStreamsLimit,     // more chunk streams than allowed
  kMessageTooLarge,  // a message that is collected, or all of them, pass the limit
};

struct ChunkEvent {
  enum class Kind : std::uint8_t { kHeader, kPayload };
  Kind kind = Kind::kHeader;
  std::uint8_t fmt = 0;           // of the chunk's header
  bool message_begin = false;     // kHeader: the first chunk of a message
  bool message_end = false;       // the message is complete with this event
  bool collected = false;         // the payload is kept; at message_end it is in `message`
  bool extended = false;          // kHeader: four timestamp bytes are part of it
  std::uint8_t stream_id_at = 0;  // kHeader, fmt 0: where in `bytes` the message stream id lies
  std::uint32_t csid = 0;
  ByteView bytes;                    // exactly as received; valid until the next call
  std::uint64_t offset = 0;          // of bytes[0] in all that was parsed
  std::uint64_t message_offset = 0;  // of the first byte of this message
  ChunkState before;                 // kHeader, message_begin: the state before this header
  ChunkState state;                  // the state after it
  ByteView message;                  // valid until the next call
};

class ChunkParser {
 public:
  struct Limits {
    std::size_t chunk_streams = limits::kRtmpChunkStreams;
    std::size_t collect_bytes = limits::kRtmpCommandBytes;  // all chunk streams together
  };
  struct Stream {
    std::uint32_t csid = 0;
    std::uint32_t missing = 0;  // payload bytes that the current message still lacks
    ChunkState state;
    bool half_way = false;  // a message has begun and is not complete
    bool collecting = false;
    std::uint64_t begin = 0;  // offset of the current message
    std::vector<std::uint8_t> payload;
  };

  ChunkParser() = default;
  explicit ChunkParser(const Limits& limits) : limits_(limits) {}

  // Message types (below 32) whose payload the caller wants; decided when a message begins.
  // SetChunkSize and Abort are always collected, and applied.
  void collect(std::uint32_t type_bits) { collect_ = type_bits | kAlways; }

  // kComplete: `event` is filled in. kNeedMore: all of `in` was taken. kInvalid: error() says why,
  // and the parser must not be called again.
  ParseStatus next(ByteView& in, ChunkEvent& event);

  ChunkError error() const { return error_; }
  std::uint32_t chunk_size() const { return chunk_size_; }
  // Bytes that came out in events. What was taken beyond it (a part of a header) is kept inside.
  std::uint64_t emitted() const { return emitted_; }
  // No chunk, no header and no message is half way: what comes next begins a message.
  bool at_boundary() const {
    return phase_ == Phase::kHeader && header_size_ == 0 && pushed_size_ == 0 && half_way_ == 0;
  }
  const std::vector<Stream>& streams() const { return streams_; }
  std::size_t collected_bytes() const { return collected_; }

 private:
  enum class Phase : std::uint8_t { kHeader, kPayload };
  static constexpr std::uint32_t kAlways = (1U << kSetChunkSize) | (1U << kAbort);

  bool take_byte(ByteView& in);
  bool header_complete();
  bool basic_complete();
  bool find_stream(std::uint32_t csid);
  bool repeats_timestamp();
  ParseStatus finish_header(ChunkEvent& event);
  bool begin_message(ChunkEvent& event);
  ParseStatus take_payload(ByteView& in, ChunkEvent& event);
  bool end_of_bytes(ChunkEvent& event);
  bool end_message(ChunkEvent& event);
  void release(Stream& stream);
  ParseStatus invalid(ChunkError error);

  Limits limits_;
  std::uint32_t collect_ = kAlways;
  std::uint32_t chunk_size_ = kDefaultChunkSize;
  std::uint32_t chunk_left_ = 0;  // payload of the current chunk still to come
  std::uint32_t half_way_ = 0;    // streams with a message half way
  std::uint64_t emitted_ = 0;
  std::size_t collected_ = 0;
  std::vector<Stream> streams_;
  std::size_t current_ = 0;       // index into streams_ of the chunk in work
  std::size_t finished_ = kNone;  // whose payload the last event showed; freed at the next call
  static constexpr std::size_t kNone = SIZE_MAX;
  std::array<std::uint8_t, kChunkHeaderMax> header_{};
  // Bytes that were looked at as a repeated timestamp and were none; they come before the input.
  std::array<std::uint8_t, 4> pushed_{};
  std::uint8_t pushed_at_ = 0;
  std::uint8_t pushed_size_ = 0;
  std::uint8_t header_size_ = 0;
  std::uint8_t basic_size_ = 0;
  std::uint8_t fmt_ = 0;
  bool stream_found_ = false;
  bool header_extended_ = false;
  Phase phase_ = Phase::kHeader;
  ChunkError error_ = ChunkError::kNone;
};

// Writes one chunk header. `time` is the timestamp for fmt 0, the delta for fmt 1 and 2, and for
// fmt 3 the value that was extended (written only if it is >= 0xFFFFFF). Fields that the format
// lacks are ignored.
struct ChunkHeaderFields {
  std::uint8_t fmt = 0;
  std::uint8_t type = 0;
  std::uint32_t csid = 0;
  std::uint32_t time = 0;
  std::uint32_t length = 0;
  std::uint32_t stream_id = 0;
};
void write_chunk_header(std::vector<std::uint8_t>& out, const ChunkHeaderFields& fields);

// Writes the payload of a message whose first header is already in `out`, with fmt 3 headers
// between the chunks that repeat `time` if `repeat_time`.
void write_chunk_payload(std::vector<std::uint8_t>& out, std::uint32_t csid, ByteView payload,
                         std::uint32_t chunk_size, bool repeat_time, std::uint32_t time);

// A whole message: header of fields.fmt, fields.length taken from the payload. Returns the state in
// which a decoder that was in `before` is then.
ChunkState write_message(std::vector<std::uint8_t>& out, ChunkHeaderFields fields, ByteView payload,
                         std::uint32_t chunk_size, const ChunkState& before = {});

}  // namespace weir::rtmp
