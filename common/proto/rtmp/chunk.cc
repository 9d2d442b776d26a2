#include "common/proto/rtmp/chunk.h"

#include <algorithm>

namespace weir::rtmp {
namespace {

constexpr std::array<std::uint8_t, 4> kMessageHeaderBytes = {11, 7, 3, 0};
constexpr std::uint32_t kWideCsid = 64;

// Whether the first bytes.size() bytes of `value`, big-endian, are `bytes`.
bool is_prefix(ByteView bytes, std::uint32_t value) {
  std::array<std::uint8_t, 4> wire;
  store_be32(wire.data(), value);
  return std::equal(bytes.begin(), bytes.end(), wire.begin());
}

}  // namespace

ParseStatus ChunkParser::invalid(ChunkError error) {
  error_ = error;
  return ParseStatus::kInvalid;
}

ParseStatus ChunkParser::next(ByteView& in, ChunkEvent& event) {
  if (finished_ != kNone) {
    std::vector<std::uint8_t>().swap(streams_[finished_].payload);
    finished_ = kNone;
  }
  if (phase_ == Phase::kPayload) return take_payload(in, event);
  while (take_byte(in)) {
    if (header_complete()) return finish_header(event);
    if (error_ != ChunkError::kNone) return ParseStatus::kInvalid;
  }
  return ParseStatus::kNeedMore;
}

bool ChunkParser::take_byte(ByteView& in) {
  if (pushed_size_ > 0) {
    header_[header_size_++] = pushed_[pushed_at_++];
    --pushed_size_;
    return true;
  }
  if (in.empty()) return false;
  header_[header_size_++] = in[0];
  in = in.subspan(1);
  return true;
}

// Looks at the basic header and finds its stream, once it is complete.
bool ChunkParser::basic_complete() {
  if (stream_found_) return true;
  const std::uint32_t low = header_[0] & 0x3FU;
  basic_size_ = low == 0 ? 2 : low == 1 ? 3 : 1;
  if (header_size_ < basic_size_) return false;
  fmt_ = header_[0] >> 6;
  std::uint32_t csid = low;
  if (low == 0) csid = kWideCsid + header_[1];
  if (low == 1) csid = kWideCsid + header_[1] + 256U * header_[2];
  if (!find_stream(csid)) {
    error_ = ChunkError::kStreamsLimit;
    return false;
  }
  stream_found_ = true;
  // Within a message only fmt 3 may follow. On a fresh stream fmt 1 is taken too (librtmp begins
  // its pings so); the fields that it lacks are 0. fmt 2 and 3 would have no length.
  const Stream& stream = streams_[current_];
  if (stream.half_way ? fmt_ != 3 : !stream.state.known && fmt_ >= 2) {
    error_ = ChunkError::kBadHeader;
    return false;
  }
  return true;
}

bool ChunkParser::find_stream(std::uint32_t csid) {
  if (current_ < streams_.size() && streams_[current_].csid == csid) return true;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    if (streams_[i].csid == csid) {
      current_ = i;
      return true;
    }
  }
  if (streams_.size() >= limits_.chunk_streams) return false;
  current_ = streams_.size();
  streams_.emplace_back().csid = csid;
  return true;
}

bool ChunkParser::header_complete() {
  if (!basic_complete()) return false;
  if (fmt_ == 3) return !streams_[current_].state.extended || repeats_timestamp();
  const std::size_t plain = std::size_t{basic_size_} + kMessageHeaderBytes[fmt_];
  if (header_size_ < plain) return false;
  header_extended_ = load_be24(header_.data() + basic_size_) == kExtendedMark;
  return header_size_ == plain + (header_extended_ ? 4U : 0U);
}

// After a fmt 3 basic header on a stream with an extended timestamp: true once it is clear whether
// the four bytes are repeated. If not, they go back to stand before the input.
bool ChunkParser::repeats_timestamp() {
  const ChunkState& state = streams_[current_].state;
  const auto seen = static_cast<std::uint8_t>(header_size_ - basic_size_);
  const ByteView bytes = ByteView(header_).subspan(basic_size_, seen);
  const std::uint32_t absolute =
      streams_[current_].half_way ? state.timestamp : state.timestamp + state.delta;
  if (is_prefix(bytes, state.delta) || is_prefix(bytes, absolute)) {
    header_extended_ = seen == 4;
    return header_extended_;
  }
  header_size_ = basic_size_;
  if (pushed_size_ > 0) {  // then all of them came from there
    pushed_at_ = static_cast<std::uint8_t>(pushed_at_ - seen);
    pushed_size_ = static_cast<std::uint8_t>(pushed_size_ + seen);
    return true;
  }
  std::copy(bytes.begin(), bytes.end(), pushed_.begin());
  pushed_at_ = 0;
  pushed_size_ = seen;
  return true;
}

ParseStatus ChunkParser::finish_header(ChunkEvent& event) {
  Stream& stream = streams_[current_];
  event = ChunkEvent{};
  event.fmt = fmt_;
  event.extended = header_extended_;
  event.csid = stream.csid;
  event.bytes = ByteView(header_).first(header_size_);
  event.offset = emitted_;
  emitted_ += header_size_;
  if (!stream.half_way && !begin_message(event)) return ParseStatus::kInvalid;
  event.state = stream.state;
  event.collected = stream.collecting;
  event.message_offset = stream.begin;
  chunk_left_ = std::min(stream.missing, chunk_size_);
  phase_ = Phase::kPayload;
  header_size_ = 0;
  stream_found_ = false;
  header_extended_ = false;
  return end_of_bytes(event) ? ParseStatus::kComplete : ParseStatus::kInvalid;
}

bool ChunkParser::begin_message(ChunkEvent& event) {
  Stream& stream = streams_[current_];
  ChunkState& state = stream.state;
  event.before = state;
  event.message_begin = true;
  const std::uint8_t* field = header_.data() + basic_size_;
  if (fmt_ <= 2) {
    const std::uint32_t time =
        header_extended_ ? load_be32(field + kMessageHeaderBytes[fmt_]) : load_be24(field);
    state.timestamp = fmt_ == 0 ? time : state.timestamp + time;
    state.delta = time;
    state.extended = header_extended_;
  } else {
    state.timestamp += state.delta;
  }
  if (fmt_ <= 1) {
    state.length = load_be24(field + 3);
    state.type = field[6];
  }
  if (fmt_ == 0) {
    state.stream_id = load_le32(field + 7);
    state.full = true;
    event.stream_id_at = static_cast<std::uint8_t>(basic_size_ + 7);
  }
  state.known = true;
  stream.begin = event.offset;
  stream.missing = state.length;
  stream.collecting = state.type < 32 && ((collect_ >> state.type) & 1U) != 0;
  if (stream.collecting && state.length > limits_.collect_bytes) {
    error_ = ChunkError::kMessageTooLarge;
    return false;
  }
  stream.half_way = true;
  ++half_way_;
  return true;
}

ParseStatus ChunkParser::take_payload(ByteView& in, ChunkEvent& event) {
  Stream& stream = streams_[current_];
  ByteView source = in;
  if (pushed_size_ > 0) source = ByteView(pushed_).subspan(pushed_at_, pushed_size_);
  if (source.empty()) return ParseStatus::kNeedMore;
  const ByteView bytes = source.first(std::min<std::size_t>(source.size(), chunk_left_));
  if (stream.collecting) {
    if (bytes.size() > limits_.collect_bytes - collected_) {
      return invalid(ChunkError::kMessageTooLarge);
    }
    stream.payload.insert(stream.payload.end(), bytes.begin(), bytes.end());
    collected_ += bytes.size();
  }
  const auto size = static_cast<std::uint32_t>(bytes.size());
  if (pushed_size_ > 0) {
    pushed_at_ = static_cast<std::uint8_t>(pushed_at_ + size);
    pushed_size_ = static_cast<std::uint8_t>(pushed_size_ - size);
  } else {
    in = in.subspan(size);
  }
  event = ChunkEvent{};
  event.kind = ChunkEvent::Kind::kPayload;
  event.fmt = fmt_;
  event.csid = stream.csid;
  event.bytes = bytes;
  event.offset = emitted_;
  event.message_offset = stream.begin;
  event.state = stream.state;
  event.collected = stream.collecting;
  emitted_ += size;
  chunk_left_ -= size;
  stream.missing -= size;
  return end_of_bytes(event) ? ParseStatus::kComplete : ParseStatus::kInvalid;
}

// Ends the chunk, and the message, if nothing of them is left.
bool ChunkParser::end_of_bytes(ChunkEvent& event) {
  if (chunk_left_ > 0) return true;
  phase_ = Phase::kHeader;
  return streams_[current_].missing > 0 || end_message(event);
}

bool ChunkParser::end_message(ChunkEvent& event) {
  Stream& stream = streams_[current_];
  event.message_end = true;
  stream.half_way = false;
  --half_way_;
  if (!stream.collecting) return true;
  event.message = stream.payload;
  collected_ -= stream.payload.size();
  finished_ = current_;
  stream.collecting = false;
  if (stream.state.type != kSetChunkSize && stream.state.type != kAbort) return true;
  if (stream.payload.size() < 4) {
    error_ = ChunkError::kBadControl;
    return false;
  }
  const std::uint32_t value = load_be32(stream.payload.data());
  if (stream.state.type == kSetChunkSize) {
    if (value == 0 || value > limits::kRtmpChunkSizeMax) {
      error_ = ChunkError::kBadControl;
      return false;
    }
    chunk_size_ = value;
    return true;
  }
  for (Stream& other : streams_) {
    if (other.csid == value && other.half_way) release(other);
  }
  return true;
}

// Forgets the message that is half way on `stream`.
void ChunkParser::release(Stream& stream) {
  stream.half_way = false;
  stream.missing = 0;
  --half_way_;
  if (!stream.collecting) return;
  stream.collecting = false;
  collected_ -= stream.payload.size();
  std::vector<std::uint8_t>().swap(stream.payload);
}

void write_chunk_header(std::vector<std::uint8_t>& out, const ChunkHeaderFields& fields) {
  std::array<std::uint8_t, kChunkHeaderMax> bytes;
  std::size_t n = 0;
  const auto fmt = static_cast<std::uint8_t>(fields.fmt << 6);
  if (fields.csid < kWideCsid) {
    bytes[n++] = static_cast<std::uint8_t>(fmt | fields.csid);
  } else if (fields.csid < kWideCsid + 256) {
    bytes[n++] = fmt;
    bytes[n++] = static_cast<std::uint8_t>(fields.csid - kWideCsid);
  } else {
    bytes[n++] = fmt | 1U;
    bytes[n++] = static_cast<std::uint8_t>(fields.csid - kWideCsid);
    bytes[n++] = static_cast<std::uint8_t>((fields.csid - kWideCsid) >> 8);
  }
  if (fields.fmt <= 2) store_be24(&bytes[n], std::min(fields.time, kExtendedMark));
  if (fields.fmt <= 1) {
    store_be24(&bytes[n + 3], fields.length);
    bytes[n + 6] = fields.type;
  }
  if (fields.fmt == 0) store_le32(&bytes[n + 7], fields.stream_id);
  n += kMessageHeaderBytes[fields.fmt];
  if (fields.time >= kExtendedMark) {
    store_be32(&bytes[n], fields.time);
    n += 4;
  }
  out.insert(out.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
}

void write_chunk_payload(std::vector<std::uint8_t>& out, std::uint32_t csid, ByteView payload,
                         std::uint32_t chunk_size, bool repeat_time, std::uint32_t time) {
  ChunkHeaderFields next;
  next.fmt = 3;
  next.csid = csid;
  next.time = repeat_time ? time : 0;
  while (!payload.empty()) {
    const ByteView chunk = payload.first(std::min<std::size_t>(payload.size(), chunk_size));
    out.insert(out.end(), chunk.begin(), chunk.end());
    payload = payload.subspan(chunk.size());
    if (!payload.empty()) write_chunk_header(out, next);
  }
}

ChunkState write_message(std::vector<std::uint8_t>& out, ChunkHeaderFields fields, ByteView payload,
                         std::uint32_t chunk_size, const ChunkState& before) {
  fields.length = static_cast<std::uint32_t>(payload.size());
  ChunkState state = before;
  if (fields.fmt == 3) fields.time = before.extended ? before.delta : 0;
  const std::uint32_t delta = fields.fmt == 3 ? before.delta : fields.time;
  state.timestamp = fields.fmt == 0 ? fields.time : before.timestamp + delta;
  state.delta = delta;
  if (fields.fmt != 3) state.extended = fields.time >= kExtendedMark;
  if (fields.fmt <= 1) {
    state.length = fields.length;
    state.type = fields.type;
  }
  if (fields.fmt == 0) {
    state.stream_id = fields.stream_id;
    state.full = true;
  }
  state.known = true;
  write_chunk_header(out, fields);
  write_chunk_payload(out, fields.csid, payload, chunk_size, state.extended, state.delta);
  return state;
}

}  // namespace weir::rtmp
