// Takes RTMP chunks apart and checks the synthetic frames in them.
//
// Owner: t/90bench. Holds per-connection chunk state only, no buffer of media: payload is compared
// in place. Errors: Reader::feed() returns false on bytes that cannot be RTMP; the connection is
// then useless. Spec: RTMP 1.0, section 5.3.
#pragma once

#include <array>
#include <vector>

#include "t/90bench/load_wire.h"

namespace weir::load {

// Takes chunks apart in place. Sink gets on_media_start(), on_frame(Frame), on_corrupt() and
// on_message(type, body) for everything that is not media.
class Reader {
 public:
  template <class Sink>
  bool feed(Bytes in, Sink& sink) {
    while (!in.empty()) {
      if (chunk_left_ == 0 && !take_header(in)) {
        if (broken_) return false;
        continue;
      }
      ChunkStream& cs = streams_[current_];
      const std::size_t n = std::min<std::size_t>(chunk_left_, in.size());
      take_payload(cs, in.first(n), sink);
      in = in.subspan(n);
      chunk_left_ -= static_cast<std::uint32_t>(n);
      cs.offset += static_cast<std::uint32_t>(n);
      if (cs.offset == cs.length) finish(cs, sink);
    }
    return !broken_;
  }

 private:
  struct ChunkStream {
    std::uint32_t id = 0, length = 0, offset = 0;
    std::uint8_t type = 0;
    bool extended = false, bad = false;
    std::string head;  // whole body of a command, first bytes of media
  };
  static constexpr std::size_t kNone = ~std::size_t{0};

  // Collects one chunk header. True when payload follows; false: wants more, or broken_.
  bool take_header(Bytes& in) {
    while (!in.empty()) {
      header_[header_size_++] = in.front();
      in = in.subspan(1);
      if (header_size_ == header_need()) return start_chunk();
      if (header_size_ == header_.size()) return !(broken_ = true);
    }
    return false;
  }
  std::size_t basic_size() const {
    const unsigned low = header_[0] & 0x3FU;
    return low == 0 ? 2 : low == 1 ? 3 : 1;
  }
  std::size_t header_need() {
    static constexpr std::array<std::size_t, 4> kMessageHeader{11, 7, 3, 0};
    const std::size_t basic = basic_size();
    if (header_size_ < basic) return basic;
    const std::size_t fmt = header_[0] >> 6;
    const std::size_t need = basic + kMessageHeader[fmt];
    if (header_size_ < need) return need;
    const bool extended = fmt == 3 ? find_extended() : get_be(&header_[basic], 3) == 0xFFFFFF;
    return need + (extended ? 4U : 0U);
  }
  std::uint32_t id() const {
    const std::size_t basic = basic_size();
    if (basic == 1) return header_[0] & 0x3FU;
    return 64U + header_[1] + (basic == 3 ? 256U * header_[2] : 0U);
  }
  bool find_extended() const {
    for (const auto& cs : streams_)
      if (cs.id == id()) return cs.extended;
    return false;
  }
  bool start_chunk() {
    const std::uint32_t want = id();
    current_ = kNone;
    for (std::size_t i = 0; i < streams_.size(); ++i)
      if (streams_[i].id == want) current_ = i;
    const unsigned fmt = header_[0] >> 6;
    if (current_ == kNone) {
      if (streams_.size() == 64 || fmt == 3) return !(broken_ = true);
      current_ = streams_.size();
      streams_.emplace_back().id = want;
    }
    ChunkStream& cs = streams_[current_];
    const std::uint8_t* field = &header_[basic_size()];
    if (cs.offset == 0) {
      if (fmt <= 2) cs.extended = get_be(field, 3) == 0xFFFFFF;
      if (fmt <= 1) {
        cs.length = get_be(field + 3, 3);
        cs.type = field[6];
      }
      cs.bad = false;
      cs.head.clear();
    } else if (fmt != 3) {
      return !(broken_ = true);
    }
    header_size_ = 0;
    chunk_left_ = std::min(chunk_, cs.length - cs.offset);
    const bool media = cs.type == kTypeVideo || cs.type == 8;
    if (cs.length == 0 || cs.length > (media ? kMessageMax : kControlMax)) broken_ = true;
    return !broken_;
  }

  template <class Sink>
  void take_payload(ChunkStream& cs, Bytes in, Sink& sink) {
    const std::string_view text(reinterpret_cast<const char*>(in.data()), in.size());  // same bytes
    if (cs.type != kTypeVideo) {
      cs.head.append(text);
      return;
    }
    if (cs.offset == 0) sink.on_media_start();
    std::size_t skip = 0;
    if (cs.head.size() < kFrameHead) {
      skip = std::min(kFrameHead - cs.head.size(), text.size());
      cs.head.append(text.substr(0, skip));
    }
    if (cs.head.size() < kFrameHead || cs.head.compare(kMagicAt, kMagic.size(), kMagic) != 0)
      return;
    for (std::size_t at = skip; at < text.size();) {
      const std::size_t n = std::min<std::size_t>(text.size() - at, 65536);
      if (std::memcmp(&text[at], &pattern()[(cs.offset + at) % kPatternPeriod], n) != 0)
        cs.bad = true;
      at += n;
    }
  }
  template <class Sink>
  void finish(ChunkStream& cs, Sink& sink) {
    cs.offset = 0;
    if (cs.type == kTypeSetChunkSize && cs.head.size() == 4) {
      const auto* at = reinterpret_cast<const std::uint8_t*>(cs.head.data());  // same bytes
      chunk_ = std::clamp(get_be(at, 4), 1U, kMessageMax);
    } else if (cs.type == kTypeVideo) {
      if (cs.bad) sink.on_corrupt();
      if (cs.head.size() < kFrameHead || cs.head.compare(kMagicAt, kMagic.size(), kMagic) != 0)
        return;
      Frame frame;
      std::memcpy(&frame.sent_ns, &cs.head[kClockAt], sizeof frame.sent_ns);
      std::memcpy(&frame.sequence, &cs.head[kSequenceAt], sizeof frame.sequence);
      sink.on_frame(frame);
    } else {
      sink.on_message(cs.type, cs.head);
    }
  }

  std::vector<ChunkStream> streams_;
  std::array<std::uint8_t, 18> header_{};
  std::size_t header_size_ = 0, current_ = kNone;
  std::uint32_t chunk_ = 128, chunk_left_ = 0;
  bool broken_ = false;
};

}  // namespace weir::load
