// STUN against the vectors of RFC 5769, and against everything that a stranger may send instead.
#include <doctest/doctest.h>

#include <string>

#include "common/proto/rtc/demux.h"
#include "common/proto/rtc/stun.h"
#include "t/00unit/proto_rtc_support.h"

namespace weir::rtc {
namespace {

using test::Bytes;
using test::from_hex;
using test::kCrypto;

constexpr std::string_view kPassword = "VOkJxbRl1RmTxUk/WvJxBt";

// RFC 5769, section 2.1: a request of an ICE agent; 2.2 and 2.3: answers over IPv4 and IPv6.
const Bytes kRequest = from_hex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001"
    "ff"
    "80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f2"
    "49"
    "c1b571a280280004e57a3bcf");
const Bytes kResponse4 = from_hex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a6"
    "43"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96");
const Bytes kResponse6 = from_hex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9"
    "fa"
    "a5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c");
const StunTransaction kTransaction = {0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
                                      0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae};

StunError parse(const Bytes& bytes) {
  StunMessage message;
  return parse_stun(bytes, message);
}

// A message of attributes alone, with the right length.
Bytes message_of(std::string_view attributes_hex) {
  Bytes out = from_hex("000100002112a442b7e7a701bc34d686fa87dfae");
  const Bytes rest = from_hex(attributes_hex);
  out.insert(out.end(), rest.begin(), rest.end());
  store_be16(out.data() + 2, static_cast<std::uint16_t>(rest.size()));
  return out;
}

TEST_CASE("the reference HMAC-SHA1 agrees with RFC 2202") {
  Bytes out(20);
  test::hmac_sha1(as_bytes("Jefe"), as_bytes("what do ya want "), as_bytes("for nothing?"),
                  out.data());
  CHECK(out == from_hex("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"));
}

TEST_CASE("RFC 5769: the sample request") {
  StunMessage message;
  REQUIRE(parse_stun(kRequest, message) == StunError::kNone);
  CHECK(message.is_binding(StunClass::kRequest));
  CHECK_FALSE(message.is_binding(StunClass::kSuccess));
  CHECK(message.transaction == kTransaction);
  CHECK(message.username == "evtj:h6vY");
  CHECK(message.priority == 0x6e0001ff);
  CHECK(message.controlled == 0x932ff9b151263b36);
  CHECK_FALSE(message.controlling);
  CHECK_FALSE(message.use_candidate);
  CHECK(message.has_fingerprint);
  CHECK(message.unknown_required == 0);
  CHECK(integrity_ok(message, as_bytes(kPassword), kCrypto));
  CHECK_FALSE(integrity_ok(message, as_bytes("VOkJxbRl1RmTxUk/WvJxBT"), kCrypto));
  CHECK_FALSE(integrity_ok(message, {}, kCrypto));
}

TEST_CASE("RFC 5769: the sample responses") {
  StunMessage message;
  REQUIRE(parse_stun(kResponse4, message) == StunError::kNone);
  CHECK(message.is_binding(StunClass::kSuccess));
  REQUIRE(message.mapped);
  CHECK(to_string(*message.mapped) == "192.0.2.1:32853");
  CHECK(integrity_ok(message, as_bytes(kPassword), kCrypto));
  REQUIRE(parse_stun(kResponse6, message) == StunError::kNone);
  REQUIRE(message.mapped);
  CHECK(to_string(*message.mapped) == "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
  CHECK(integrity_ok(message, as_bytes(kPassword), kCrypto));
}

TEST_CASE("what is written is what the sample responses hold") {
  for (const Bytes* sample : {&kResponse4, &kResponse6}) {
    StunMessage parsed;
    REQUIRE(parse_stun(*sample, parsed) == StunError::kNone);
    std::uint8_t buffer[kStunWriteBytes];
    StunWriter writer(buffer, StunClass::kSuccess, kStunBinding, kTransaction);
    writer.add(StunAttribute::kSoftware, as_bytes("test vector"))
        .add_xor_mapped_address(*parsed.mapped);
    const ByteView out = writer.add_integrity(as_bytes(kPassword), kCrypto).finish();
    // The samples pad with spaces, we with zeros, so only what comes before the integrity agrees.
    Bytes want(sample->begin(), sample->end() - 8 - 24);
    want[35] = 0;
    store_be16(want.data() + 2, static_cast<std::uint16_t>(out.size() - kStunHeaderBytes));
    CHECK(Bytes(out.begin(), out.end() - 24) == want);
    StunMessage again;
    REQUIRE(parse_stun(out, again) == StunError::kNone);
    CHECK(integrity_ok(again, as_bytes(kPassword), kCrypto));
    CHECK(again.mapped == parsed.mapped);
  }
}

TEST_CASE("a binding request and its answer") {
  std::uint8_t buffer[kStunWriteBytes];
  BindingRequest request;
  request.transaction = kTransaction;
  request.username = "answer:offer";
  request.password = "secretsecretsecret";
  request.tie_breaker = 77;
  request.use_candidate = true;
  StunMessage message;
  REQUIRE(parse_stun(write_binding_request(buffer, request, kCrypto), message) == StunError::kNone);
  CHECK(message.is_binding(StunClass::kRequest));
  CHECK(message.username == "answer:offer");
  CHECK(message.controlling == 77);
  CHECK(message.use_candidate);
  CHECK(message.has_fingerprint);
  CHECK(integrity_ok(message, as_bytes(request.password), kCrypto));

  std::uint8_t answer[kStunWriteBytes];
  Endpoint from = *parse_ip("::ffff:198.51.100.7");  // what a dual-stack socket reports
  from.port = 40000;
  REQUIRE(parse_stun(write_binding_success(answer, kTransaction, from, {}, kCrypto), message) ==
          StunError::kNone);
  CHECK(message.integrity_at == 0);
  REQUIRE(message.mapped);
  CHECK(to_string(*message.mapped) == "198.51.100.7:40000");
  std::uint8_t error[64];
  StunWriter writer(error, StunClass::kError, kStunBinding, kTransaction);
  REQUIRE(parse_stun(writer.add_error(487, "Role Conflict").add_fingerprint().finish(), message) ==
          StunError::kNone);
  CHECK(message.is_binding(StunClass::kError));
  CHECK(message.error_code == 487);
}

TEST_CASE("what does not fit is not written") {
  BindingRequest request;
  request.username = "answer:offer";
  request.password = "password";
  std::uint8_t full[kStunWriteBytes];
  const std::size_t size = write_binding_request(full, request, kCrypto).size();
  for (std::size_t n = 0; n < size; ++n) {
    Bytes small(n);
    CHECK(write_binding_request(small, request, kCrypto).empty());
  }
  CHECK(StunWriter(full, StunClass::kRequest, 1, {})
            .add(StunAttribute::kUsername, Bytes(70000))
            .finish()
            .empty());
}

TEST_CASE("a changed bit is noticed by checksum or integrity, a cut by the length") {
  for (std::size_t i = 0; i < kRequest.size(); ++i) {
    CHECK(parse(Bytes(kRequest.begin(), kRequest.begin() + static_cast<std::ptrdiff_t>(i))) !=
          StunError::kNone);
    for (int bit = 0; bit < 8; ++bit) {
      Bytes changed = kRequest;
      changed[i] ^= static_cast<std::uint8_t>(1 << bit);
      StunMessage message;
      if (parse_stun(changed, message) != StunError::kNone) continue;
      // The checksum was swallowed by another attribute or is none any more.
      CHECK_FALSE(message.has_fingerprint);
      if (i < kRequest.size() - 8) {
        CHECK_FALSE(integrity_ok(message, as_bytes(kPassword), kCrypto));
      }
    }
    // Without a checksum the integrity is what notices.
    Bytes bare(kRequest.begin(), kRequest.end() - 8);
    bare[3] -= 8;
    if (i >= bare.size()) continue;
    StunMessage message;
    REQUIRE(parse_stun(bare, message) == StunError::kNone);
    REQUIRE(integrity_ok(message, as_bytes(kPassword), kCrypto));
    bare[i] ^= 4;
    if (parse_stun(bare, message) == StunError::kNone) {
      CHECK_FALSE(integrity_ok(message, as_bytes(kPassword), kCrypto));
    }
  }
}

TEST_CASE("malformed messages have a named reason") {
  CHECK(parse({}) == StunError::kTooShort);
  CHECK(parse(Bytes(19)) == StunError::kTooShort);
  CHECK(parse(Bytes(20)) == StunError::kNotStun);
  CHECK(parse(from_hex("800100002112a442b7e7a701bc34d686fa87dfae")) == StunError::kNotStun);
  CHECK(parse(from_hex("000100022112a442b7e7a701bc34d686fa87dfae0000")) == StunError::kBadLength);
  CHECK(parse(from_hex("000100042112a442b7e7a701bc34d686fa87dfae")) == StunError::kBadLength);
  CHECK(parse(message_of("")) == StunError::kNone);
  CHECK(parse(message_of("00060005")) == StunError::kBadAttribute);          // past the end
  CHECK(parse(message_of("0006ffff61000000")) == StunError::kBadAttribute);  // far past it
  CHECK(parse(message_of("00060000")) == StunError::kBadAttribute);          // an empty name
  CHECK(parse(message_of("0008000461616161")) == StunError::kBadAttribute);  // half a MAC
  CHECK(parse(message_of("0024000100000000")) == StunError::kBadAttribute);
  CHECK(parse(message_of("0025000100000000")) == StunError::kBadAttribute);
  CHECK(parse(message_of("8029000400000000")) == StunError::kBadAttribute);
  CHECK(parse(message_of("0020000800030000"
                         "00000000")) == StunError::kBadAttribute);
  CHECK(parse(message_of("0020000800020000"
                         "00000000")) == StunError::kBadAttribute);
  CHECK(parse(message_of("0009000400000700")) == StunError::kBadAttribute);
  CHECK(parse(message_of("8028000400000000")) == StunError::kBadFingerprint);
  CHECK(parse(message_of("0006"
                         "0200" +
                         std::string(1024, '6'))) == StunError::kBadAttribute);
  Bytes after = kRequest;  // something follows a right checksum
  after.insert(after.end(), {0x80, 0x22, 0, 0});
  store_be16(after.data() + 2, static_cast<std::uint16_t>(after.size() - kStunHeaderBytes));
  CHECK(parse(after) == StunError::kBadFingerprint);
}

TEST_CASE("the first of two counts, and nothing behind the integrity") {
  StunMessage message;  // its views point into the bytes
  const Bytes twice = message_of("00060001610000000006000162000000");
  REQUIRE(parse_stun(twice, message) == StunError::kNone);
  CHECK(message.username == "a");
  const Bytes behind = message_of("00080014" + std::string(40, '0') + "0006000161000000");
  REQUIRE(parse_stun(behind, message) == StunError::kNone);
  CHECK(message.username.empty());
  REQUIRE(parse_stun(message_of("7abc0000"
                                "00060001"
                                "61000000"
                                "7abd0000"),
                     message) == StunError::kNone);
  CHECK(message.unknown_required == 0x7abc);
}

TEST_CASE("classes and methods") {
  constexpr std::uint16_t kMethods[] = {0x001, 0x003, 0x00F, 0x080, 0xFFF};
  for (const std::uint16_t method : kMethods) {
    for (const StunClass cls :
         {StunClass::kRequest, StunClass::kIndication, StunClass::kSuccess, StunClass::kError}) {
      std::uint8_t buffer[kStunHeaderBytes];
      StunMessage message;
      REQUIRE(parse_stun(StunWriter(buffer, cls, method, {}).finish(), message) ==
              StunError::kNone);
      CHECK(message.cls == cls);
      CHECK(message.method == method);
    }
  }
}

TEST_CASE("the two halves of a user name") {
  CHECK(split_username("abc:def").receiver == "abc");
  CHECK(split_username("abc:def").sender == "def");
  CHECK(split_username("a:b:c").sender == "b:c");
  for (const std::string_view bad : {"", ":", "abc", "abc:", ":def"}) {
    CHECK(split_username(bad).receiver.empty());
    CHECK(split_username(bad).sender.empty());
  }
}

TEST_CASE("the first byte tells what a packet is") {
  std::uint8_t packet[2] = {};
  int counts[4] = {};
  for (unsigned first = 0; first < 256; ++first) {
    packet[0] = static_cast<std::uint8_t>(first);
    ++counts[static_cast<int>(packet_kind(packet))];
  }
  CHECK(packet_kind({}) == PacketKind::kOther);
  CHECK(counts[static_cast<int>(PacketKind::kStun)] == 4);
  CHECK(counts[static_cast<int>(PacketKind::kDtls)] == 44);
  CHECK(counts[static_cast<int>(PacketKind::kRtp)] == 64);
  CHECK(packet_kind(kRequest) == PacketKind::kStun);
  CHECK(is_rtcp(from_hex("80c8")));
  CHECK_FALSE(is_rtcp(from_hex("8060")));
  CHECK_FALSE(is_rtcp(from_hex("80")));
}

}  // namespace
}  // namespace weir::rtc
