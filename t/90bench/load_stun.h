// The STUN binding request that udp_load's clients send: USERNAME, MESSAGE-INTEGRITY, FINGERPRINT
// (RFC 8489). Written apart from common/proto/stun, so that one checks the other.
#pragma once

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdint>
#include <string>

namespace weir::load {

struct StunCredentials {
  std::string username;  // answer's ufrag:offer's ufrag; empty: no STUN
  std::string password;  // the answer's
};

inline void put_u16(std::string& out, unsigned value) {
  out += static_cast<char>(value >> 8 & 0xFF);
  out += static_cast<char>(value & 0xFF);
}

inline std::uint32_t stun_crc32(const std::string& bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    crc ^= static_cast<std::uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xEDB88320U & (0U - (crc & 1U)));
  }
  return ~crc;
}

inline void set_stun_length(std::string& message, std::size_t length) {
  message[2] = static_cast<char>(length >> 8 & 0xFF);
  message[3] = static_cast<char>(length & 0xFF);
}

inline std::string stun_binding_request(const StunCredentials& credentials,
                                        std::uint64_t transaction) {
  std::string out("\x00\x01\x00\x00\x21\x12\xA4\x42WEIR", 12);
  for (int shift = 56; shift >= 0; shift -= 8)
    out += static_cast<char>(transaction >> shift & 0xFF);
  put_u16(out, 0x0006);
  put_u16(out, static_cast<unsigned>(credentials.username.size()));
  out += credentials.username;
  while (out.size() % 4 != 0) out += '\0';
  set_stun_length(out, out.size() - 20 + 24);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  HMAC(EVP_sha1(), credentials.password.data(), static_cast<int>(credentials.password.size()),
       reinterpret_cast<const unsigned char*>(out.data()), out.size(), digest, &length);
  put_u16(out, 0x0008);
  put_u16(out, 20);
  out.append(reinterpret_cast<const char*>(digest), 20);
  set_stun_length(out, out.size() - 20 + 8);
  const std::uint32_t fingerprint = stun_crc32(out) ^ 0x5354554EU;
  put_u16(out, 0x8028);
  put_u16(out, 4);
  put_u16(out, fingerprint >> 16);
  put_u16(out, fingerprint & 0xFFFF);
  return out;
}

}  // namespace weir::load
