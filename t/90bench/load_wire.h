// The little of RTMP that the load tool needs: building messages in chunks, and
// synthetic frames that carry their sender's clock. load_reader.h reads them back.
//
// Owner: t/90bench. Independent of common/proto on purpose: a mistake there must not hide itself by
// being made on both ends of a benchmark. Trusts its peers only as far as memory safety needs.
// Spec: RTMP 1.0, sections 5.2 (handshake), 5.3 (chunks), 5.4 and 7 (messages).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace weir::load {

using Bytes = std::span<const std::uint8_t>;

struct Frame {
  std::int64_t sent_ns = 0;
  std::uint32_t sequence = 0;
};

inline constexpr std::size_t kHandshakeSize = 1536;
// A frame begins like AVC that any server takes: FLV's tag header, the length of the one NAL unit,
// its type; then magic, clock and sequence number.
inline constexpr std::size_t kMagicAt = 10;
inline constexpr std::size_t kClockAt = kMagicAt + 4;
inline constexpr std::size_t kSequenceAt = kClockAt + 8;
inline constexpr std::size_t kFrameHead = kSequenceAt + 4;
inline constexpr std::string_view kMagic = "WLT1";
inline constexpr std::uint32_t kMessageMax = 16U << 20;
inline constexpr std::uint32_t kControlMax = 64U << 10;
inline constexpr std::size_t kPatternPeriod = 251;
inline constexpr std::uint8_t kTypeSetChunkSize = 1;
inline constexpr std::uint8_t kTypeAck = 3;
inline constexpr std::uint8_t kTypeUserControl = 4;
inline constexpr std::uint8_t kTypeWindowAck = 5;
inline constexpr std::uint8_t kTypePeerBandwidth = 6;
inline constexpr std::uint8_t kTypeVideo = 9;
inline constexpr std::uint8_t kTypeCommand = 20;

inline void put_be(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out.push_back(static_cast<char>((value >> shift) & 0xFF));
}
inline std::uint32_t get_be(const std::uint8_t* at, int bytes) {
  std::uint32_t value = 0;
  for (int i = 0; i < bytes; ++i) value = (value << 8) | at[i];
  return value;
}

// ---- AMF0, as much as the five commands of a session use
inline void amf_text(std::string& out, std::string_view text) {
  out.push_back(2);
  put_be(out, text.size(), 2);
  out.append(text);
}
inline void amf_number(std::string& out, double value) {
  out.push_back(0);
  put_be(out, std::bit_cast<std::uint64_t>(value), 8);
}
inline void amf_null(std::string& out) {
  out.push_back(5);
}
inline void amf_property(std::string& out, std::string_view key, std::string_view text) {
  put_be(out, key.size(), 2);
  out.append(key);
  amf_text(out, text);
}
inline void amf_end(std::string& out) {
  out.append("\0\0\x09", 3);
}

// Name, transaction and the first text and number that follow them: all that a command tells us.
struct Command {
  std::string_view name;
  double transaction = 0;
  std::string_view text;
  double number = 0;
};

inline bool take_text(std::string_view& in, std::string_view& out) {
  if (in.size() < 3 || in[0] != 2) return false;
  const auto size = (static_cast<std::size_t>(static_cast<std::uint8_t>(in[1])) << 8) |
                    static_cast<std::uint8_t>(in[2]);
  if (in.size() < 3 + size) return false;
  out = in.substr(3, size);
  in.remove_prefix(3 + size);
  return true;
}
inline bool take_number(std::string_view& in, double& out) {
  if (in.size() < 9 || in[0] != 0) return false;
  std::uint64_t raw = 0;
  for (std::size_t i = 1; i < 9; ++i) raw = (raw << 8) | static_cast<std::uint8_t>(in[i]);
  out = std::bit_cast<double>(raw);
  in.remove_prefix(9);
  return true;
}
inline bool parse_command(std::string_view body, Command& out) {
  if (!take_text(body, out.name) || !take_number(body, out.transaction)) return false;
  if (!body.empty() && body[0] == 5) body.remove_prefix(1);
  if (!take_text(body, out.text)) (void)take_number(body, out.number);
  return true;
}

// ---- writing
// A whole message with a full header and fmt 3 continuations. csid 2..63, timestamp < 0xFFFFFF.
inline void put_message(std::string& out, std::uint8_t csid, std::uint8_t type,
                        std::uint32_t stream_id, std::uint32_t timestamp, std::string_view body,
                        std::uint32_t chunk) {
  out.push_back(static_cast<char>(csid));
  put_be(out, timestamp, 3);
  put_be(out, body.size(), 3);
  out.push_back(static_cast<char>(type));
  for (int shift = 0; shift < 32; shift += 8)
    out.push_back(static_cast<char>((stream_id >> shift) & 0xFF));
  for (std::size_t at = 0; at < body.size(); at += chunk) {
    if (at > 0) out.push_back(static_cast<char>(0xC0 | csid));
    out.append(body.substr(at, chunk));
  }
}
inline std::string number_body(std::uint32_t value) {
  std::string body;
  put_be(body, value, 4);
  return body;
}

// Bytes that every frame is filled with, by their offset in the message.
inline const std::string& pattern() {
  static const std::string bytes = [] {
    std::string made(65536 + 2 * kPatternPeriod, '\0');
    for (std::size_t i = 0; i < made.size(); ++i)
      made[i] = static_cast<char>((i % kPatternPeriod) * 7 + 3);
    return made;
  }();
  return bytes;
}

// A frame of that size (at least kFrameHead + 1), not stamped yet.
inline std::string frame_body(std::size_t payload) {
  std::string body(std::max(payload, kFrameHead + 1), '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = pattern()[i % kPatternPeriod];
  std::string head("\x27\x01\0\0\0", 5);
  put_be(head, body.size() - 9, 4);
  head.push_back('\x41');  // a slice that others may refer to
  head += kMagic;
  return body.replace(0, head.size(), head);
}
// The sequence header before the first frame: 320 x 180, baseline.
inline std::string sequence_header() {
  static constexpr std::string_view kBytes(
      "\x17\x00\x00\x00\x00\x01\x42\xc0\x0c\xff\xe1\x00\x17\x67\x42\xc0\x0c\xda\x05\x06"
      "\x7e\x7c\x04\x40\x00\x00\x03\x00\x40\x00\x00\x0c\x83\xc5\x0a\xa8\x01\x00\x04\x68"
      "\xce\x0f\xc8",
      43);
  return std::string(kBytes);
}

// One frame in chunks, made once and stamped before each use.
class FrameTemplate {
 public:
  FrameTemplate(std::size_t payload, std::uint32_t chunk) {
    const std::string body = frame_body(payload);
    payload_ = body.size();
    put_message(wire_, 6, kTypeVideo, 1, 0, body, chunk);
  }
  std::string_view stamp(std::int64_t now_ns, std::uint32_t sequence, std::uint32_t timestamp) {
    for (std::size_t i = 0; i < 3; ++i)
      wire_[1 + i] = static_cast<char>((timestamp >> (16 - 8 * i)) & 0xFF);
    std::memcpy(&wire_[kChunkHeader + kClockAt], &now_ns, sizeof now_ns);
    std::memcpy(&wire_[kChunkHeader + kSequenceAt], &sequence, sizeof sequence);
    return wire_;
  }
  std::size_t payload() const { return payload_; }

 private:
  static constexpr std::size_t kChunkHeader = 12;
  std::string wire_;
  std::size_t payload_ = 0;
};

}  // namespace weir::load
