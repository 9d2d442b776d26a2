// HTTP-FLV as the load tool reads and writes it: frames that carry their sender's clock.
//
// Owner: t/90bench. Holds per-connection state only, no buffer of media. Errors: feed() returns
// false on bytes that cannot be the stream; the connection is then useless. Independent of
// common/proto on purpose. Spec: FLV 10.1, annex E; RFC 9112, section 7.1 (chunks).
#pragma once

#include <array>

#include "t/90bench/load_wire.h"

namespace weir::load {

inline constexpr std::size_t kTagHeader = 11;
inline constexpr std::size_t kTagTrailer = 4;

// One FLV tag, as a chunk or plain, made once and stamped before each use.
class FlvFrame {
 public:
  FlvFrame(std::size_t payload, bool chunked) {
    const std::string body = frame_body(payload);
    const std::size_t size = body.size();
    if (chunked) {
      char head[16];
      std::snprintf(head, sizeof head, "%zx\r\n", kTagHeader + size + kTagTrailer);
      wire_ = head;
    }
    start_ = wire_.size();
    wire_.push_back(static_cast<char>(kTypeVideo));
    put_be(wire_, size, 3);
    wire_.append(7, '\0');
    wire_ += body;
    put_be(wire_, kTagHeader + size, 4);
    if (chunked) wire_ += "\r\n";
  }
  std::string_view stamp(std::int64_t now_ns, std::uint32_t sequence, std::uint32_t timestamp) {
    for (std::size_t i = 0; i < 3; ++i)
      wire_[start_ + 4 + i] = static_cast<char>((timestamp >> (16 - 8 * i)) & 0xFF);
    std::memcpy(&wire_[start_ + kTagHeader + kClockAt], &now_ns, sizeof now_ns);
    std::memcpy(&wire_[start_ + kTagHeader + kSequenceAt], &sequence, sizeof sequence);
    return wire_;
  }

 private:
  std::string wire_;
  std::size_t start_ = 0;
};

// Takes a response body apart in place. Sink gets on_frame(Frame) and on_corrupt().
class FlvReader {
 public:
  void set_chunked() { chunked_ = true; }

  template <class Sink>
  bool feed(Bytes in, Sink& sink) {
    if (!chunked_) return feed_flv(in, sink);
    while (!in.empty()) {
      if (chunk_left_ == 0) {
        if (!take_chunk_line(in)) return false;
        continue;
      }
      const std::size_t n = std::min<std::size_t>(chunk_left_, in.size());
      if (!feed_flv(in.first(n), sink)) return false;
      in = in.subspan(n);
      chunk_left_ -= n;
    }
    return true;
  }

 private:
  // A byte of the line break before a chunk, or of its size.
  bool take_chunk_line(Bytes& in) {
    const char c = static_cast<char>(in.front());
    in = in.subspan(1);
    if (c == '\n') {
      chunk_left_ = digits_ == 0 ? 0 : size_;
      digits_ = 0;
      size_ = 0;
      return true;
    }
    if (c == '\r') return true;
    const std::size_t digit =
        std::string_view("0123456789abcdef").find(static_cast<char>(c | 0x20));
    if (digit == std::string_view::npos || ++digits_ > 8) return false;
    size_ = size_ * 16 + digit;
    return true;
  }

  template <class Sink>
  bool feed_flv(Bytes in, Sink& sink) {
    while (!in.empty()) {
      if (left_ == 0 && !take_header(in)) {
        if (broken_) return false;
        continue;
      }
      const std::size_t n = std::min<std::size_t>(left_, in.size());
      take_payload(in.first(n));
      in = in.subspan(n);
      left_ -= n;
      if (left_ == 0 && n > 0) finish(sink);
    }
    return !broken_;
  }
  // File header (13 bytes with the first trailer) or a tag's, with the trailer of the one before.
  bool take_header(Bytes& in) {
    const std::size_t need = started_ ? kTagHeader : 13;
    while (!in.empty() && head_size_ < need) {
      if (skip_ > 0) {
        --skip_;
      } else {
        head_[head_size_++] = in.front();
      }
      in = in.subspan(1);
    }
    if (head_size_ < need) return false;
    head_size_ = 0;
    if (!started_) {
      started_ = true;
      broken_ = head_[0] != 'F' || head_[1] != 'L' || head_[2] != 'V';
      return false;
    }
    left_ = get_be(&head_[1], 3);
    skip_ = kTagTrailer;
    offset_ = 0;
    bad_ = false;
    mark_.clear();
    broken_ = head_[0] != kTypeVideo || left_ <= kFrameHead;
    return !broken_;
  }
  void take_payload(Bytes in) {
    const std::string_view text(reinterpret_cast<const char*>(in.data()), in.size());  // same bytes
    const std::size_t skip = std::min(kFrameHead - mark_.size(), text.size());
    mark_.append(text.substr(0, skip));
    for (std::size_t at = skip; at < text.size();) {
      const std::size_t n = std::min<std::size_t>(text.size() - at, 65536);
      if (std::memcmp(&text[at], &pattern()[(offset_ + at) % kPatternPeriod], n) != 0) bad_ = true;
      at += n;
    }
    offset_ += text.size();
  }
  template <class Sink>
  void finish(Sink& sink) {
    if (bad_ || mark_.compare(kMagicAt, kMagic.size(), kMagic) != 0) return sink.on_corrupt();
    Frame frame;
    std::memcpy(&frame.sent_ns, &mark_[kClockAt], sizeof frame.sent_ns);
    std::memcpy(&frame.sequence, &mark_[kSequenceAt], sizeof frame.sequence);
    sink.on_frame(frame);
  }

  std::array<std::uint8_t, 13> head_{};
  std::string mark_;
  std::size_t head_size_ = 0, left_ = 0, offset_ = 0, skip_ = 0, chunk_left_ = 0, size_ = 0;
  unsigned digits_ = 0;
  bool chunked_ = false, started_ = false, bad_ = false, broken_ = false;
};

}  // namespace weir::load
