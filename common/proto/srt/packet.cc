#include "common/proto/srt/packet.h"

#include <algorithm>

#include "common/base/network.h"

namespace weir::srt {
namespace {

constexpr std::uint32_t kControlBit = 0x80000000;

// Offsets in the datagram.
constexpr std::size_t kTimestampAt = 8;
constexpr std::size_t kDestinationAt = 12;
constexpr std::size_t kTypeAt = kHeaderBytes + 20;
constexpr std::size_t kCookieAt = kHeaderBytes + 28;
constexpr std::size_t kPeerAt = kHeaderBytes + 32;
constexpr std::size_t kPeerBytes = 16;
constexpr std::size_t kExtensionHeader = 4;

std::uint32_t word(ByteView bytes, std::size_t index) {
  return load_be32(bytes.data() + 4 * index);
}

}  // namespace

std::string_view to_string(Reject reject) {
  switch (reject) {
    case Reject::kUnknown:
      return "unknown";
    case Reject::kResource:
      return "resource";
    case Reject::kRogue:
      return "rogue";
    case Reject::kVersion:
      return "version";
    case Reject::kTimeout:
      return "timeout";
    case Reject::kBadRequest:
      return "bad_request";
    case Reject::kUnauthorized:
      return "unauthorized";
    case Reject::kOverload:
      return "overload";
    case Reject::kForbidden:
      return "forbidden";
    case Reject::kNotFound:
      return "not_found";
    case Reject::kBadMode:
      return "bad_mode";
    case Reject::kUnimplemented:
      return "unimplemented";
    case Reject::kGateway:
      return "gateway";
    case Reject::kDown:
      return "down";
  }
  return "other";
}

std::string_view to_string(HandshakeError error) {
  switch (error) {
    case HandshakeError::kNone:
      return "none";
    case HandshakeError::kTooShort:
      return "too_short";
    case HandshakeError::kTooLong:
      return "too_long";
    case HandshakeError::kNotHandshake:
      return "not_handshake";
    case HandshakeError::kBadExtension:
      return "bad_extension";
  }
  return "unknown";
}

bool parse_header(ByteView datagram, Header& out) {
  if (datagram.size() < kHeaderBytes) return false;
  const std::uint32_t first = word(datagram, 0);
  out.control = (first & kControlBit) != 0;
  out.type = out.control ? static_cast<ControlType>((first >> 16) & 0x7FFF) : ControlType{};
  out.sequence = out.control ? 0 : first;
  out.info = word(datagram, 1);
  out.timestamp = load_be32(datagram.data() + kTimestampAt);
  out.destination = load_be32(datagram.data() + kDestinationAt);
  return true;
}

void set_timestamp(MutableBytes datagram, std::uint32_t timestamp) {
  store_be32(datagram.data() + kTimestampAt, timestamp);
}

void set_destination(MutableBytes datagram, std::uint32_t socket_id) {
  store_be32(datagram.data() + kDestinationAt, socket_id);
}

void set_cookie(MutableBytes datagram, std::uint32_t cookie) {
  store_be32(datagram.data() + kCookieAt, cookie);
}

void set_handshake_type(MutableBytes datagram, std::uint32_t type) {
  store_be32(datagram.data() + kTypeAt, type);
}

void set_peer_address(MutableBytes datagram, const Endpoint& peer) {
  const Endpoint plain = unmapped(peer);
  const std::size_t size = plain.family == Family::kIpv6 ? kPeerBytes : 4;
  std::uint8_t* at = datagram.data() + kPeerAt;
  std::fill_n(at, kPeerBytes, std::uint8_t{0});
  for (std::size_t i = 0; i < size; i += 4) store_be32(at + i, load_le32(plain.ip + i));
}

HandshakeError parse_handshake(ByteView datagram, Handshake& out) {
  out = {};
  if (!parse_header(datagram, out.header)) return HandshakeError::kTooShort;
  if (!out.header.is(ControlType::kHandshake)) return HandshakeError::kNotHandshake;
  if (datagram.size() < kHandshakeBytes) return HandshakeError::kTooShort;
  if (datagram.size() > limits::kSrtHandshakeBytes) return HandshakeError::kTooLong;
  const ByteView body = datagram.subspan(kHeaderBytes);
  out.version = word(body, 0);
  out.encryption = load_be16(body.data() + 4);
  out.extension = load_be16(body.data() + 6);
  out.initial_sequence = word(body, 2);
  out.mss = word(body, 3);
  out.window = word(body, 4);
  out.type = static_cast<HandshakeType>(word(body, 5));
  out.socket_id = word(body, 6);
  out.cookie = word(body, 7);
  ByteView extensions = datagram.subspan(kHandshakeBytes);
  Extension extension;
  ByteView rest = extensions;
  while (next_extension(rest, extension)) continue;
  if (!rest.empty()) return HandshakeError::kBadExtension;
  out.extensions = extensions;
  return HandshakeError::kNone;
}

ByteView write_handshake(MutableBytes out, const Handshake& handshake, const Endpoint& peer) {
  std::uint8_t* p = out.data();
  store_be32(p, kControlBit);  // type and subtype of a handshake are 0
  store_be32(p + 4, 0);
  store_be32(p + kTimestampAt, handshake.header.timestamp);
  store_be32(p + kDestinationAt, handshake.header.destination);
  p += kHeaderBytes;
  store_be32(p, handshake.version);
  store_be16(p + 4, handshake.encryption);
  store_be16(p + 6, handshake.extension);
  store_be32(p + 8, handshake.initial_sequence);
  store_be32(p + 12, handshake.mss);
  store_be32(p + 16, handshake.window);
  store_be32(p + 20, static_cast<std::uint32_t>(handshake.type));
  store_be32(p + 24, handshake.socket_id);
  store_be32(p + 28, handshake.cookie);
  set_peer_address(out, peer);
  return out.first(kHandshakeBytes);
}

ByteView write_induction(MutableBytes out, std::uint32_t socket_id) {
  Handshake hello;
  hello.version = 4;  // what an induction is written in
  hello.extension = 2;
  hello.mss = 1500;
  hello.window = 8192;
  hello.socket_id = socket_id;
  return write_handshake(out, hello, {});
}

bool answers_induction(const Handshake& answer, std::uint32_t socket_id) {
  return answer.type == HandshakeType::kInduction &&
         (answer.header.destination == socket_id || answer.header.destination == 0);
}

bool next_extension(ByteView& extensions, Extension& out) {
  if (extensions.size() < kExtensionHeader) return false;
  const std::size_t size = std::size_t{load_be16(extensions.data() + 2)} * 4;
  if (size > extensions.size() - kExtensionHeader) return false;
  out.type = static_cast<ExtensionType>(load_be16(extensions.data()));
  out.content = extensions.subspan(kExtensionHeader, size);
  extensions = extensions.subspan(kExtensionHeader + size);
  return true;
}

std::string text_of_words(ByteView content) {
  std::string out(content.size() / 4 * 4, '\0');
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(content[i ^ 3]);
  out.resize(out.find_last_not_of('\0') + 1);
  return out;
}

bool stream_id_of(const Handshake& handshake, std::string& out) {
  out.clear();
  ByteView rest = handshake.extensions;
  Extension extension;
  while (next_extension(rest, extension)) {
    if (extension.type != ExtensionType::kStreamId) continue;
    if (extension.content.size() > limits::kSrtStreamIdBytes) return false;
    out = text_of_words(extension.content);
    break;
  }
  return true;
}

ByteView write_shutdown(MutableBytes out, std::uint32_t destination) {
  constexpr auto kType = static_cast<std::uint32_t>(ControlType::kShutdown);
  store_be32(out.data(), kControlBit | kType << 16);
  store_be32(out.data() + 4, 0);
  store_be32(out.data() + kTimestampAt, 0);
  store_be32(out.data() + kDestinationAt, destination);
  store_be32(out.data() + kHeaderBytes, 0);
  return out.first(kShutdownBytes);
}

std::optional<AckInfo> ack_info(ByteView datagram) {
  Header header;
  if (!parse_header(datagram, header) || !header.is(ControlType::kAck)) return std::nullopt;
  if (datagram.size() < kHeaderBytes + 16) return std::nullopt;
  const ByteView body = datagram.subspan(kHeaderBytes);
  return AckInfo{word(body, 1), word(body, 2)};
}

std::uint32_t lost_packets(ByteView datagram) {
  Header header;
  if (!parse_header(datagram, header) || !header.is(ControlType::kNak)) return 0;
  // No receiver has more on its way; a larger range is not believed.
  constexpr std::uint32_t kMostInRange = 1U << 20;
  std::uint32_t lost = 0;
  for (ByteView list = datagram.subspan(kHeaderBytes); list.size() >= 4; list = list.subspan(4)) {
    const std::uint32_t first = word(list, 0);
    if ((first & kControlBit) == 0) {
      ++lost;
      continue;
    }
    if (list.size() < 8) break;
    list = list.subspan(4);
    const std::uint32_t span = (word(list, 0) - first) & 0x7FFFFFFF;  // sequence numbers wrap
    if (span < kMostInRange) lost += span + 1;
  }
  return lost;
}

}  // namespace weir::srt
