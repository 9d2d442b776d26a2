// Chunked transfer coding (RFC 9112, 7.1): an incremental decoder and what a sender needs. Pure; a
// decoder is some 40 bytes and keeps no payload. Strict: CRLF only, at most 16 hexadecimal digits,
// bounded extensions and trailers. How the input was split never matters. Extensions and trailer
// fields are checked and thrown away. One decoder a body.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/bytes.h"

namespace weir::http {

enum class ChunkedError : std::uint8_t {
  kNone,
  kBadSize,       // no hexadecimal number
  kBadExtension,  // control bytes, or white space that no extension follows
  kBadLineEnd,    // CR or LF alone, or data that isn't followed by CRLF
  kBadTrailer,    // no field
  kLineTooLong,   // extensions of a chunk over the limit
  kTrailerTooLarge,
  kSizeTooLarge,  // 2^63 and more, or over 16 digits
};
std::string_view to_string(ChunkedError error);

class ChunkedDecoder {
 public:
  struct Limits {
    std::uint16_t line_bytes = 256;      // size and extensions of one chunk
    std::uint16_t trailer_bytes = 4096;  // all trailer fields together
  };
  ChunkedDecoder() = default;
  explicit ChunkedDecoder(const Limits& limits) : limits_(limits) {}

  // Takes bytes from the front of `in`. kComplete: `data` is a piece of payload, or it is empty and
  // done() is true: the body is over and the rest of `in` belongs to the next message. kNeedMore:
  // all of `in` was taken. kInvalid: error() says why; don't call again.
  ParseStatus next(ByteView& in, ByteView& data);
  bool done() const { return state_ == State::kDone; }
  ChunkedError error() const { return error_; }

  // Payload bytes of the current chunk that are still to come: these may be moved past the decoder
  // (spliced), which skip() tells it. REQUIRES: n <= chunk_left().
  std::uint64_t chunk_left() const { return state_ == State::kData ? left_ : 0; }
  void skip(std::uint64_t n);

 private:
  enum class State : std::uint8_t {
    kSize,       // hexadecimal digits; digits_ counts them
    kSizeBlank,  // white space after them: only an extension may follow
    kExtension,  // after `;`
    kSizeLf,     // LF of the size line
    kData,       // left_ payload bytes
    kDataCr,
    kDataLf,
    kTrailerStart,  // a field, or the CR of the last line
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kLastLf,
    kDone,
  };
  bool take(std::uint8_t byte);
  bool take_size(std::uint8_t byte);
  bool take_trailer(std::uint8_t byte);
  bool fail(ChunkedError error);

  Limits limits_;
  std::uint64_t left_ = 0;
  std::uint16_t line_ = 0;     // bytes of the current size line
  std::uint16_t trailer_ = 0;  // bytes of the trailer section
  std::uint8_t digits_ = 0;
  State state_ = State::kSize;
  ChunkedError error_ = ChunkedError::kNone;
};

// `1a2b\r\n`, to be followed by that many bytes and kChunkEnd. REQUIRES: size > 0.
void append_chunk_size(std::string& out, std::uint64_t size);
inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace weir::http
