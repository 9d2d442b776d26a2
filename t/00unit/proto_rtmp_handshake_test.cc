// The RTMP handshake with a real HMAC (a small reference one: nothing links OpenSSL here).
#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "common/proto/rtmp/handshake.h"

namespace weir::rtmp {
namespace {

using Bytes = std::vector<std::uint8_t>;

// ---- FIPS 180-4 and RFC 2104, straight from the documents

constexpr std::array<std::uint32_t, 64> kRound = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

void compress(std::array<std::uint32_t, 8>& h, const std::uint8_t* block) {
  std::array<std::uint32_t, 64> w;
  for (std::size_t i = 0; i < 16; ++i) w[i] = load_be32(block + 4 * i);
  for (std::size_t i = 16; i < 64; ++i) {
    const std::uint32_t a = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const std::uint32_t b = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + a + w[i - 7] + b;
  }
  std::array<std::uint32_t, 8> v = h;
  for (std::size_t i = 0; i < 64; ++i) {
    const std::uint32_t s1 = std::rotr(v[4], 6) ^ std::rotr(v[4], 11) ^ std::rotr(v[4], 25);
    const std::uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + kRound[i] + w[i];
    const std::uint32_t s0 = std::rotr(v[0], 2) ^ std::rotr(v[0], 13) ^ std::rotr(v[0], 22);
    const std::uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    v = {t1 + t2, v[0], v[1], v[2], v[3] + t1, v[4], v[5], v[6]};
  }
  for (std::size_t i = 0; i < 8; ++i) h[i] += v[i];
}

Bytes sha256(Bytes data) {
  std::array<std::uint32_t, 8> h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  const std::uint64_t bits = data.size() * 8;
  data.push_back(0x80);
  while (data.size() % 64 != 56) data.push_back(0);
  data.resize(data.size() + 8);
  store_be64(data.data() + data.size() - 8, bits);
  for (std::size_t i = 0; i < data.size(); i += 64) compress(h, data.data() + i);
  Bytes out(32);
  for (std::size_t i = 0; i < 8; ++i) store_be32(out.data() + 4 * i, h[i]);
  return out;
}

void hmac(ByteView key, ByteView data, std::uint8_t* out) {
  Bytes k(key.begin(), key.end());
  if (k.size() > 64) k = sha256(k);
  k.resize(64);
  Bytes inner(64), outer(64);
  for (std::size_t i = 0; i < 64; ++i) {
    inner[i] = k[i] ^ 0x36;
    outer[i] = k[i] ^ 0x5c;
  }
  inner.insert(inner.end(), data.begin(), data.end());
  const Bytes digest = sha256(inner);
  outer.insert(outer.end(), digest.begin(), digest.end());
  const Bytes mac = sha256(outer);
  std::copy(mac.begin(), mac.end(), out);
}

std::uint8_t next_random = 0;
void counted(MutableBytes out) {
  for (std::uint8_t& b : out) b = static_cast<std::uint8_t>(next_random += 37);
}
constexpr HandshakeCrypto kCrypto{hmac, counted};

std::string hex(ByteView bytes) {
  std::string out;
  for (const std::uint8_t b : bytes) {
    out += "0123456789abcdef"[b >> 4];
    out += "0123456789abcdef"[b & 15];
  }
  return out;
}

std::string mac_of(const Bytes& key, const Bytes& data) {
  std::array<std::uint8_t, 32> out;
  hmac(key, data, out.data());
  return hex(out);
}
Bytes text(std::string_view s) {
  return {s.begin(), s.end()};
}

TEST_CASE("the reference HMAC agrees with RFC 4231") {
  CHECK(mac_of(Bytes(20, 0x0b), text("Hi There")) ==
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  CHECK(mac_of(text("Jefe"), text("what do ya want for nothing?")) ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  CHECK(mac_of(Bytes(131, 0xaa), text("Test Using Larger Than Block-Size Key - Hash Key First")) ==
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

// ---- the handshake

// Feeds `in` to `side` in pieces of `step`; returns the last status, and what it wrote in `out`.
template <typename Side>
ParseStatus feed_all(Side& side, const Bytes& in, std::size_t step, Bytes& out, std::size_t& left) {
  ParseStatus status = ParseStatus::kNeedMore;
  ByteView rest(in);
  while (!rest.empty() && status == ParseStatus::kNeedMore) {
    ByteView piece = rest.first(std::min(step, rest.size()));
    const std::size_t before = piece.size();
    status = side.feed(piece, out);
    rest = rest.subspan(before - piece.size());
  }
  left = rest.size();
  return status;
}

TEST_CASE("our client and our server agree, simple and with digest, in any splits") {
  for (const bool digest : {false, true}) {
    for (const std::size_t step : {1UL, 7UL, 1536UL, 1537UL, 100000UL}) {
      ClientHandshake client(kCrypto, {digest, {}});
      ServerHandshake server(kCrypto);
      Bytes c, s;
      std::size_t left = 0;
      client.start(c);
      CHECK(c.size() == 1537);
      CHECK(feed_all(server, c, step, s, left) == ParseStatus::kNeedMore);
      REQUIRE(s.size() == 3073);
      CHECK(server.digest_used() == digest);
      c.clear();
      s.push_back(0x55);  // the first byte of the chunk stream
      CHECK(feed_all(client, s, step, c, left) == ParseStatus::kComplete);
      CHECK(left == 1);
      REQUIRE(c.size() == 1536);
      s.clear();
      c.push_back(0x55);
      CHECK(feed_all(server, c, step, s, left) == ParseStatus::kComplete);
      CHECK(left == 1);
      CHECK(s.empty());
    }
  }
}

TEST_CASE("both digest layouts are found, and S1 and S2 answer them") {
  for (const DigestSchema schema : {DigestSchema::kSchema0, DigestSchema::kSchema1}) {
    for (int round = 0; round < 20; ++round) {
      Bytes c0c1(1537);
      counted(c0c1);
      c0c1[0] = 3;
      c0c1[5] = 9;
      Digest c1_digest;
      sign_block(kCrypto, MutableBytes(c0c1).subspan(1), Signer::kClient, schema, c1_digest);
      Digest found;
      CHECK(find_digest(kCrypto, ByteView(c0c1).subspan(1), Signer::kClient, found) == schema);
      CHECK(found == c1_digest);
      ServerHandshake server(kCrypto);
      Bytes s;
      ByteView in(c0c1);
      CHECK(server.feed(in, s) == ParseStatus::kNeedMore);
      REQUIRE(server.digest_used());
      CHECK(find_digest(kCrypto, ByteView(s).subspan(1, 1536), Signer::kServer, found) == schema);
      Bytes s2(s.begin() + 1537, s.end());
      Bytes again = s2;
      sign_answer(kCrypto, again, Signer::kServer, c1_digest);
      CHECK(again == s2);
    }
  }
}

TEST_CASE("a simple C1 is echoed; a broken digest is a simple C1") {
  Bytes c0c1(1537);
  counted(c0c1);
  c0c1[0] = 3;
  ServerHandshake server(kCrypto);
  Bytes s;
  ByteView in(c0c1);
  CHECK(server.feed(in, s) == ParseStatus::kNeedMore);
  CHECK_FALSE(server.digest_used());
  CHECK(std::equal(c0c1.begin() + 1, c0c1.end(), s.begin() + 1537));
}

TEST_CASE("wrong versions and unsigned answers are refused at once") {
  for (const std::uint8_t version : Bytes{0, 2, 6, 0x47, 0xF3}) {
    ServerHandshake server(kCrypto);
    ClientHandshake client(kCrypto, {});
    Bytes out;
    const Bytes byte{version};
    ByteView in(byte);
    CHECK(server.feed(in, out) == ParseStatus::kInvalid);
    CHECK(client.feed(in, out) == ParseStatus::kInvalid);
  }
  ClientHandshake client(kCrypto, {true, {}});
  Bytes out;
  const Bytes s0s1(1537, 3);
  ByteView in(s0s1);
  CHECK(client.feed(in, out) == ParseStatus::kInvalid);
}

TEST_CASE("the SRS prefix") {
  ClientHandshakeOptions options;
  options.client_ipv4 = {{10, 1, 2, 3}};
  ClientHandshake client(kCrypto, options);
  Bytes out;
  client.start(out);
  REQUIRE(out.size() == 7 + 1537);
  CHECK(hex(ByteView(out).first(8)) == "f300040a01020303");
}

}  // namespace
}  // namespace weir::rtmp
