// SRT packets of libsrt, and what may be sent instead of them.
#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "common/proto/srt/cookie.h"
#include "t/00unit/proto_srt_support.h"

namespace weir::srt {
namespace {

using test::Bytes;
using test::from_hex;

HandshakeError parse(const Bytes& bytes) {
  Handshake handshake;
  return parse_handshake(bytes, handshake);
}

TEST_CASE("headers of data and control packets") {
  Header header;
  REQUIRE(parse_header(from_hex(test::kData), header));
  CHECK_FALSE(header.control);
  CHECK(header.sequence == 0x20bba471);
  CHECK(header.timestamp == 0x0a7c);
  CHECK(header.destination == test::kListenerId);
  CHECK_FALSE(header.is(ControlType::kHandshake));
  REQUIRE(parse_header(from_hex(test::kAckAck), header));
  CHECK(header.is(ControlType::kAckAck));
  CHECK(header.info == 1);
  REQUIRE(parse_header(from_hex("80050000000000000000000012345678"), header));
  CHECK(header.is(ControlType::kShutdown));
  CHECK(header.destination == 0x12345678);
  CHECK_FALSE(parse_header(Bytes(15, 0x80), header));
}

TEST_CASE("the handshake of libsrt") {
  Handshake h;
  const Bytes induction = from_hex(test::kCallerInduction);
  REQUIRE(parse_handshake(induction, h) == HandshakeError::kNone);
  CHECK(h.version == 4);
  CHECK(h.extension == 2);
  CHECK(h.type == HandshakeType::kInduction);
  CHECK(h.socket_id == test::kCallerId);
  CHECK(h.initial_sequence == 0x20bba471);
  CHECK(h.mss == 1500);
  CHECK(h.window == 8192);
  CHECK(h.cookie == 0);
  CHECK(h.header.destination == 0);
  CHECK_FALSE(h.rejection());

  const Bytes conclusion = from_hex(test::kCallerConclusion);
  REQUIRE(parse_handshake(conclusion, h) == HandshakeError::kNone);
  CHECK(h.version == 5);
  CHECK(h.encryption == 2);
  CHECK(h.extension == 7);
  CHECK(h.type == HandshakeType::kConclusion);
  CHECK(h.cookie == test::kListenerCookie);
  std::string stream_id;
  REQUIRE(stream_id_of(h, stream_id));
  CHECK(stream_id == "#!::r=live/livestream,m=publish");
  std::vector<ExtensionType> types;
  ByteView rest = h.extensions;
  for (Extension extension; next_extension(rest, extension);) types.push_back(extension.type);
  CHECK(types == std::vector<ExtensionType>{ExtensionType::kHsReq, ExtensionType::kStreamId,
                                            ExtensionType::kKmReq});
}

TEST_CASE("what is written is what libsrt writes") {
  Endpoint local = *parse_ip("127.0.0.1");
  for (const std::string_view hex : {test::kCallerInduction, test::kListenerInduction}) {
    Handshake h;
    const Bytes recorded = from_hex(hex);
    REQUIRE(parse_handshake(recorded, h) == HandshakeError::kNone);
    Bytes out(kHandshakeBytes, 0xAA);
    write_handshake(out, h, local);
    CHECK(out == recorded);
    set_peer_address(out, *parse_ip("::ffff:127.0.0.1"));
    CHECK(out == recorded);
    set_peer_address(out, *parse_ip("2001:db8::1"));
    CHECK(Bytes(out.end() - 16, out.end()) == from_hex("b80d0120000000000000000001000000"));
  }
}

TEST_CASE("malformed handshakes") {
  const Bytes whole = from_hex(test::kCallerConclusion);
  CHECK(parse({}) == HandshakeError::kTooShort);
  CHECK(parse(from_hex(test::kData)) == HandshakeError::kNotHandshake);
  CHECK(parse(from_hex(test::kAck)) == HandshakeError::kNotHandshake);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const HandshakeError error = parse(Bytes(whole.begin(), whole.begin() + static_cast<int>(n)));
    if (n < kHandshakeBytes) {
      CHECK(error == HandshakeError::kTooShort);
    } else {
      const bool at_border = n == 64 || n == 80 || n == 116;  // between extensions
      CHECK(error == (at_border ? HandshakeError::kNone : HandshakeError::kBadExtension));
    }
  }
  Bytes bad = whole;
  bad[66] = 0xFF;
  CHECK(parse(bad) == HandshakeError::kBadExtension);
  Bytes large(kHandshakeBytes);
  large[0] = 0x80;
  while (large.size() < limits::kSrtHandshakeBytes) large.insert(large.end(), {0, 9, 0, 0});
  CHECK(parse(large) == HandshakeError::kNone);
  large.insert(large.end(), {0, 9, 0, 0});
  CHECK(parse(large) == HandshakeError::kTooLong);
}

TEST_CASE("stream ids of every length") {
  for (std::size_t n = 0; n <= 512; n += n < 20 ? 1 : 41) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text.push_back(static_cast<char>('a' + i % 26));
    Bytes bytes = from_hex(test::kCallerInduction);
    test::append_stream_id(bytes, text);
    Handshake h;
    REQUIRE(parse_handshake(bytes, h) == HandshakeError::kNone);
    std::string out = "old";
    CHECK(stream_id_of(h, out));
    CHECK(out == text);
  }
  Bytes bytes = from_hex(test::kCallerInduction);
  Handshake h;
  std::string out = "old";
  REQUIRE(parse_handshake(bytes, h) == HandshakeError::kNone);
  CHECK(stream_id_of(h, out));
  CHECK(out.empty());
  test::append_stream_id(bytes, std::string(513, 'x'));
  REQUIRE(parse_handshake(bytes, h) == HandshakeError::kNone);
  CHECK_FALSE(stream_id_of(h, out));
  CHECK(out.empty());
}

TEST_CASE("rejections") {
  Bytes bytes = from_hex(test::kCallerInduction);
  Handshake h;
  for (const std::uint32_t type : {999U, 1000U, 2404U, 0x7FFFFFFFU, 0x80000000U, 0xFFFFFFFFU}) {
    set_handshake_type(bytes, type);
    REQUIRE(parse_handshake(bytes, h) == HandshakeError::kNone);
    CHECK(h.rejection() == (type >= 1000 && type <= 0x7FFFFFFF));
  }
  CHECK(to_string(Reject::kNotFound) == "not_found");
  CHECK(to_string(static_cast<Reject>(1234)) == "other");
}

TEST_CASE("round trip time and losses in clear") {
  const auto info = ack_info(from_hex(test::kAck));
  REQUIRE(info);
  CHECK(info->rtt_us == 100'000);
  CHECK(info->rtt_variance_us == 50'000);
  CHECK_FALSE(ack_info(from_hex("800200000000000000002e192e105eb220bba476")));  // a light one
  CHECK_FALSE(ack_info(from_hex(test::kData)));
  const std::string nak = "80030000000000000000000012345678";
  CHECK(lost_packets(from_hex(nak)) == 0);
  CHECK(lost_packets(from_hex(nak + "00000005")) == 1);
  CHECK(lost_packets(from_hex(nak + "00000005"
                                    "80000007"
                                    "00000009"
                                    "0000000b")) == 5);
  CHECK(lost_packets(from_hex(nak + "ffffffff"
                                    "00000000")) == 2);  // numbers wrap
  CHECK(lost_packets(from_hex(nak + "80000009"
                                    "00000001")) == 0);  // backwards
  CHECK(lost_packets(from_hex(nak + "80000009")) == 0);
  CHECK(lost_packets(from_hex(test::kAck)) == 0);
}

TEST_CASE("a shutdown names its receiver") {
  std::uint8_t buffer[kShutdownBytes];
  const ByteView packet = write_shutdown(buffer, 0x01020304);
  Header header;
  REQUIRE(parse_header(packet, header));
  CHECK(header.is(ControlType::kShutdown));
  CHECK(header.destination == 0x01020304);
  CHECK(packet.size() == 20);
}

TEST_CASE("a cookie is good for its address, its socket, and two slots") {
  const HashSeed seed{1, 2};
  Endpoint peer = *parse_ip("198.51.100.7");
  peer.port = 4000;
  for (const std::uint64_t now :
       {std::uint64_t{0}, std::uint64_t{29'999}, std::uint64_t{123'456}}) {
    const std::uint32_t cookie = make_cookie(seed, peer, 7, now);
    CHECK(cookie != 0);
    const std::uint64_t end = (now / kCookieSlotMs + 2) * kCookieSlotMs;
    CHECK(cookie_ok(seed, peer, 7, cookie, now));
    CHECK(cookie_ok(seed, peer, 7, cookie, end - 1));
    CHECK_FALSE(cookie_ok(seed, peer, 7, cookie, end));
    CHECK_FALSE(cookie_ok(seed, peer, 8, cookie, now));
    CHECK_FALSE(cookie_ok(seed, peer, 7, cookie + 1, now));
    CHECK_FALSE(cookie_ok(seed, peer, 7, 0, now));
    CHECK_FALSE(cookie_ok({1, 3}, peer, 7, cookie, now));
    Endpoint other = peer;
    other.port = 4001;
    CHECK_FALSE(cookie_ok(seed, other, 7, cookie, now));
    other = peer;
    other.ip[3] = 8;
    CHECK_FALSE(cookie_ok(seed, other, 7, cookie, now));
    other = *parse_ip("::ffff:198.51.100.7");  // told apart: a socket sees one of the two
    other.port = 4000;
    CHECK_FALSE(cookie_ok(seed, other, 7, cookie, now));
  }
}

}  // namespace
}  // namespace weir::srt
