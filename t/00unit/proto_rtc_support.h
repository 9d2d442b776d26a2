// HMAC-SHA1 straight from FIPS 180-4 and RFC 2104, for tests and fuzz targets that link no OpenSSL.
#pragma once

#include <bit>
#include <vector>

#include "common/proto/rtc/stun.h"

namespace weir::rtc::test {

using Bytes = std::vector<std::uint8_t>;

inline Bytes sha1(Bytes data) {
  std::uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  const std::uint64_t bits = data.size() * 8;
  data.push_back(0x80);
  while (data.size() % 64 != 56) data.push_back(0);
  data.resize(data.size() + 8);
  store_be64(data.data() + data.size() - 8, bits);
  for (std::size_t at = 0; at < data.size(); at += 64) {
    std::uint32_t w[80];
    for (std::size_t i = 0; i < 16; ++i) w[i] = load_be32(data.data() + at + 4 * i);
    for (std::size_t i = 16; i < 80; ++i) {
      w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    }
    std::uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (std::size_t i = 0; i < 80; ++i) {
      const std::uint32_t f = i < 20              ? (b & c) | (~b & d)
                              : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d)
                                                  : b ^ c ^ d;
      static constexpr std::uint32_t kRound[] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6};
      const std::uint32_t next = std::rotl(a, 5) + f + e + kRound[i / 20] + w[i];
      e = d;
      d = c;
      c = std::rotl(b, 30);
      b = a;
      a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
  }
  Bytes out(20);
  for (std::size_t i = 0; i < 5; ++i) store_be32(out.data() + 4 * i, h[i]);
  return out;
}

inline void hmac_sha1(ByteView key, ByteView head, ByteView rest, std::uint8_t* out) {
  Bytes k(key.begin(), key.end());
  if (k.size() > 64) k = sha1(k);
  k.resize(64);
  Bytes inner(64), outer(64);
  for (std::size_t i = 0; i < 64; ++i) {
    inner[i] = k[i] ^ 0x36;
    outer[i] = k[i] ^ 0x5c;
  }
  inner.insert(inner.end(), head.begin(), head.end());
  inner.insert(inner.end(), rest.begin(), rest.end());
  const Bytes digest = sha1(inner);
  outer.insert(outer.end(), digest.begin(), digest.end());
  const Bytes mac = sha1(outer);
  std::copy(mac.begin(), mac.end(), out);
}
inline constexpr StunCrypto kCrypto{hmac_sha1};

inline Bytes from_hex(std::string_view hex) {
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  Bytes out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<std::uint8_t>(value(hex[i]) * 16 + value(hex[i + 1])));
  }
  return out;
}

}  // namespace weir::rtc::test
