// PROXY protocol: both versions there and back, faults, and every cut of the input.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "common/proto/proxy_protocol.h"

namespace weir::proxy_protocol {
namespace {

using Bytes = std::vector<std::uint8_t>;

Endpoint at(std::string_view ip, std::uint16_t port) {
  const auto parsed = parse_ip(ip);
  REQUIRE(parsed);
  Endpoint endpoint = *parsed;
  endpoint.port = port;
  return endpoint;
}

// The outcome for the whole; every shorter piece must ask for more or say the same.
ParseStatus parse_cut(ByteView in, Header& out, Error& error) {
  const ParseStatus whole = parse(in, out, error);
  const std::size_t end = whole == ParseStatus::kComplete ? out.consumed : in.size();
  for (std::size_t n = 0; n < end; ++n) {
    Header piece;
    Error fault = Error::kNone;
    const ParseStatus status = parse(in.first(n), piece, fault);
    CHECK(status != ParseStatus::kComplete);
    if (whole == ParseStatus::kComplete) CHECK(status == ParseStatus::kNeedMore);
  }
  return whole;
}

Bytes v2(std::initializer_list<int> rest, std::string_view more = {}) {
  Bytes out = {0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A};
  for (const int byte : rest) out.push_back(static_cast<std::uint8_t>(byte));
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

}  // namespace

TEST_CASE("proxy protocol: there and back") {
  const std::pair<Endpoint, Endpoint> pairs[] = {
      {at("192.0.2.1", 56324), at("198.51.100.1", 443)},
      {at("2001:db8::1", 1), at("2001:db8::2", 65535)},
      {at("192.0.2.1", 56324), at("2001:db8::2", 443)},
  };
  for (const auto& [source, destination] : pairs) {
    for (const int version : {1, 2}) {
      Bytes out;
      if (version == 1) {
        write_v1(out, source, destination);
        CHECK(out.size() <= kMaxV1Bytes);
      } else {
        write_v2(out, source, destination);
      }
      const std::size_t size = out.size();
      out.push_back('G');
      Header header;
      Error error = Error::kNone;
      REQUIRE(parse_cut(out, header, error) == ParseStatus::kComplete);
      CHECK(header.version == version);
      CHECK(header.consumed == size);
      CHECK(header.source == source);
      CHECK(header.destination == destination);
      CHECK_FALSE(header.local);
    }
  }
  Bytes out;
  write_v1(out, pairs[0].first, pairs[0].second);
  CHECK(as_text(out) == "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n");
}

TEST_CASE("proxy protocol: nobody to name") {
  Header header;
  Error error = Error::kNone;
  Bytes out;
  write_v1(out, {}, {});
  CHECK(parse_cut(out, header, error) == ParseStatus::kComplete);
  CHECK(header.local);
  out.clear();
  write_v2(out, {}, {});
  CHECK(parse_cut(out, header, error) == ParseStatus::kComplete);
  CHECK(header.local);
  CHECK(header.consumed == 16);
  CHECK(parse_cut(as_bytes("PROXY UNKNOWN ffff:: x 1 2\r\n"), header, error) ==
        ParseStatus::kComplete);
  CHECK(header.source.empty());
}

TEST_CASE("proxy protocol: version 1 faults") {
  struct Row {
    std::string text;
    Error error;
  };
  const Row rows[] = {
      {"GET / HTTP/1.1\r\n", Error::kNoHeader},
      {"PROXX", Error::kNoHeader},
      {"PROXY \r\n", Error::kBadLine},
      {"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", Error::kBadLine},
      {"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", Error::kBadLine},
      {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", Error::kBadLine},
      {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", Error::kBadLine},
      {"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", Error::kBadLine},
      {"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", Error::kBadLine},
      {"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", Error::kBadLine},
      {"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", Error::kBadLine},
      {"PROXY TCP4 ::1 ::1 1 2\r\n", Error::kBadLine},
      {"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", Error::kBadLine},
      {"PROXY TCP6 [::1] [::1] 1 2\r\n", Error::kBadLine},
      {"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", Error::kBadLine},
      {"PROXY UNKNOWN " + std::string(200, 'x'), Error::kTooLong},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    Header header;
    Error error = Error::kNone;
    CHECK(parse_cut(as_bytes(row.text), header, error) == ParseStatus::kInvalid);
    CHECK(to_string(error) == to_string(row.error));
  }
}

TEST_CASE("proxy protocol: version 2") {
  const std::string v4 = "\x01\x02\x03\x04\x05\x06\x07\x08\x10\x20\x30\x40";
  struct Row {
    Bytes bytes;
    Error error;
    const char* source;
  };
  const std::string tlv("\x04\x00\x02xy", 5);
  const Row rows[] = {
      {v2({0x21, 0x11, 0, 12}, v4), Error::kNone, "1.2.3.4:4128"},
      {v2({0x21, 0x12, 0, 12}, v4), Error::kNone, "1.2.3.4:4128"},
      {v2({0x21, 0x11, 0, 17}, v4 + tlv), Error::kNone, "1.2.3.4:4128"},
      {v2({0x20, 0x11, 0, 12}, v4), Error::kNone, ""},
      {v2({0x20, 0xFF, 0, 3}, "abc"), Error::kNone, ""},
      {v2({0x21, 0x00, 0, 3}, "abc"), Error::kNone, ""},
      {v2({0x21, 0x31, 0, 216}, std::string(216, 'u')), Error::kNone, ""},
      {v2({0x21, 0x11, 0, 16}, v4 + tlv), Error::kBadTlv, ""},
      {v2({0x21, 0x11, 0, 14}, v4 + "ab"), Error::kBadTlv, ""},
      {v2({0x21, 0x11, 0, 11}, v4), Error::kTooShort, ""},
      {v2({0x21, 0x21, 0, 12}, v4), Error::kTooShort, ""},
      {v2({0x31, 0x11, 0, 12}, v4), Error::kBadVersion, ""},
      {v2({0x22, 0x11, 0, 12}, v4), Error::kBadVersion, ""},
      {v2({0x21, 0x41, 0, 12}, v4), Error::kBadFamily, ""},
      {v2({0x21, 0x13, 0, 12}, v4), Error::kBadFamily, ""},
      {v2({0x21, 0x11, 0xFF, 0xFF}, v4), Error::kTooLong, ""},
  };
  for (const Row& row : rows) {
    Header header;
    Error error = Error::kNone;
    const ParseStatus status = parse_cut(row.bytes, header, error);
    CHECK(to_string(error) == to_string(row.error));
    CHECK((status == ParseStatus::kComplete) == (row.error == Error::kNone));
    if (status != ParseStatus::kComplete) continue;
    CHECK(header.consumed == row.bytes.size());
    CHECK((header.source.empty() ? "" : to_string(header.source)) == row.source);
    CHECK(header.datagram == (row.bytes[13] == 0x12));
    CHECK(header.local == (row.bytes[12] == 0x20));
  }
}

TEST_CASE("proxy protocol: a checksum must fit") {
  // Computed with an independent CRC-32C whose value for "123456789" is E3069283.
  Bytes right = v2({0x21, 0x11, 0, 19, 192, 0, 2, 1,    198,  51,   100, 1,
                    0,    1,    0, 2,  3,   0, 4, 0xEA, 0x49, 0xDD, 0x7B});
  Header header;
  Error error = Error::kNone;
  CHECK(parse_cut(right, header, error) == ParseStatus::kComplete);
  CHECK(header.source == at("192.0.2.1", 1));
  right[20] ^= 1U;  // of the address
  CHECK(parse_cut(right, header, error) == ParseStatus::kInvalid);
  CHECK(error == Error::kBadChecksum);
  Bytes short_one =
      v2({0x21, 0x11, 0, 17, 192, 0, 2, 1, 198, 51, 100, 1, 0, 1, 0, 2, 3, 0, 2, 1, 1});
  CHECK(parse_cut(short_one, header, error) == ParseStatus::kInvalid);
  CHECK(error == Error::kBadTlv);
}

TEST_CASE("proxy protocol: whether the client spoke TLS") {
  const auto with_flags = [](int flags) {
    return v2({0x21, 0x11, 0, 20, 192,  0, 2, 1,     198, 51, 100, 1,
               0,    1,    0, 2,  0x20, 0, 5, flags, 0,   0,  0,   0});
  };
  Header header;
  Error error = Error::kNone;
  CHECK(parse_cut(with_flags(1), header, error) == ParseStatus::kComplete);
  CHECK(header.tls);
  CHECK(parse_cut(with_flags(2), header, error) == ParseStatus::kComplete);
  CHECK_FALSE(header.tls);
  const Bytes short_one =
      v2({0x21, 0x11, 0, 16, 192, 0, 2, 1, 198, 51, 100, 1, 0, 1, 0, 2, 0x20, 0, 1, 1});
  CHECK(parse_cut(short_one, header, error) == ParseStatus::kInvalid);
  CHECK(error == Error::kBadTlv);
}

}  // namespace weir::proxy_protocol
