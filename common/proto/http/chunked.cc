#include "common/proto/http/chunked.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/proto/http/fields.h"

namespace weir::http {
namespace {

int hex_value(std::uint8_t byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

bool is_blank(std::uint8_t byte) {
  return byte == ' ' || byte == '\t';
}

bool is_text(std::uint8_t byte) {
  return (byte >= 0x20 && byte != 0x7F) || byte == '\t';
}

bool is_token_char(std::uint8_t byte) {
  const char c = static_cast<char>(byte);
  return is_token({&c, 1});
}

}  // namespace

std::string_view to_string(ChunkedError error) {
  static constexpr std::array<std::string_view, 8> kNames = {
      "none",        "bad-chunk-size",      "bad-chunk-extension", "bad-chunk-line-end",
      "bad-trailer", "chunk-line-too-long", "trailer-too-large",   "chunk-too-large"};
  return kNames[static_cast<std::size_t>(error)];
}

bool ChunkedDecoder::fail(ChunkedError error) {
  error_ = error;
  return false;
}

void ChunkedDecoder::skip(std::uint64_t n) {
  left_ -= n;
  if (left_ == 0) state_ = State::kDataCr;
}

ParseStatus ChunkedDecoder::next(ByteView& in, ByteView& data) {
  data = {};
  while (!in.empty() && state_ != State::kDone) {
    if (state_ == State::kData) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size()));
      data = in.first(n);
      in = in.subspan(n);
      skip(n);
      return ParseStatus::kComplete;
    }
    const std::uint8_t byte = in.front();
    in = in.subspan(1);
    if (!take(byte)) return ParseStatus::kInvalid;
  }
  return state_ == State::kDone ? ParseStatus::kComplete : ParseStatus::kNeedMore;
}

bool ChunkedDecoder::take(std::uint8_t byte) {
  switch (state_) {
    case State::kSize:
    case State::kSizeBlank:
    case State::kExtension:
    case State::kSizeLf:
      return take_size(byte);
    case State::kDataCr:
      state_ = State::kDataLf;
      return byte == '\r' || fail(ChunkedError::kBadLineEnd);
    case State::kDataLf:
      state_ = State::kSize;
      return byte == '\n' || fail(ChunkedError::kBadLineEnd);
    case State::kTrailerStart:
    case State::kTrailerName:
    case State::kTrailerValue:
    case State::kTrailerLf:
      return take_trailer(byte);
    case State::kLastLf:
      state_ = State::kDone;
      return byte == '\n' || fail(ChunkedError::kBadLineEnd);
    case State::kData:
    case State::kDone:
      break;
  }
  return true;
}

bool ChunkedDecoder::take_size(std::uint8_t byte) {
  if (++line_ > limits_.line_bytes) return fail(ChunkedError::kLineTooLong);
  if (state_ == State::kSizeLf) {
    if (byte != '\n') return fail(ChunkedError::kBadLineEnd);
    state_ = left_ == 0 ? State::kTrailerStart : State::kData;
    line_ = 0;
    digits_ = 0;
    return true;
  }
  if (state_ == State::kExtension) {
    if (byte == '\r') {
      state_ = State::kSizeLf;
      return true;
    }
    return is_text(byte) || fail(ChunkedError::kBadExtension);
  }
  const int value = hex_value(byte);
  if (state_ == State::kSize && value >= 0) {
    if (digits_ == 0) left_ = 0;
    left_ = (left_ << 4) | static_cast<std::uint64_t>(value);
    if (++digits_ > 16 || left_ > static_cast<std::uint64_t>(INT64_MAX)) {
      return fail(ChunkedError::kSizeTooLarge);
    }
    return true;
  }
  if (digits_ == 0) return fail(ChunkedError::kBadSize);
  if (byte == ';') {
    state_ = State::kExtension;
  } else if (is_blank(byte)) {
    state_ = State::kSizeBlank;
  } else if (byte == '\r' && state_ == State::kSize) {
    state_ = State::kSizeLf;
  } else {
    const bool blank = state_ == State::kSizeBlank;
    return fail(blank ? ChunkedError::kBadExtension : ChunkedError::kBadSize);
  }
  return true;
}

bool ChunkedDecoder::take_trailer(std::uint8_t byte) {
  if (state_ == State::kTrailerStart && byte == '\r') {
    state_ = State::kLastLf;
    return true;
  }
  if (++trailer_ > limits_.trailer_bytes) return fail(ChunkedError::kTrailerTooLarge);
  if (state_ == State::kTrailerLf) {
    state_ = State::kTrailerStart;
    return byte == '\n' || fail(ChunkedError::kBadLineEnd);
  }
  if (state_ == State::kTrailerValue) {
    if (byte == '\r') {
      state_ = State::kTrailerLf;
      return true;
    }
    return is_text(byte) || fail(ChunkedError::kBadTrailer);
  }
  if (byte == ':' && state_ == State::kTrailerName) {
    state_ = State::kTrailerValue;
    return true;
  }
  state_ = State::kTrailerName;
  return is_token_char(byte) || fail(ChunkedError::kBadTrailer);
}

void append_chunk_size(std::string& out, std::uint64_t size) {
  char digits[16];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, size, 16);
  if (error == std::errc{}) out.append(digits, end);
  out.append("\r\n");
}

}  // namespace weir::http
