#include "common/net/crypto.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "common/base/log.h"

namespace weir::net {

void hmac_sha256(ByteView key, ByteView data, std::uint8_t* out) {
  unsigned length = 32;
  if (::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()), data.data(), data.size(),
             out, &length) == nullptr) {
    LogLine(LogLevel::kError, "HMAC-SHA256 is not available in this OpenSSL; cannot go on");
    std::abort();
  }
}

void hmac_sha1(ByteView key, ByteView head, ByteView rest, std::uint8_t* out) {
  // A fetched algorithm and a context a thread: STUN comes with every session every few seconds.
  struct Free {
    void operator()(EVP_MAC* mac) const { ::EVP_MAC_free(mac); }
    void operator()(EVP_MAC_CTX* context) const { ::EVP_MAC_CTX_free(context); }
  };
  thread_local const std::unique_ptr<EVP_MAC, Free> mac(::EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  thread_local const std::unique_ptr<EVP_MAC_CTX, Free> context(
      mac != nullptr ? ::EVP_MAC_CTX_new(mac.get()) : nullptr);
  char digest[] = "SHA1";
  const OSSL_PARAM params[] = {::OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                               ::OSSL_PARAM_construct_end()};
  std::size_t length = 0;
  if (context == nullptr || ::EVP_MAC_init(context.get(), key.data(), key.size(), params) != 1 ||
      ::EVP_MAC_update(context.get(), head.data(), head.size()) != 1 ||
      ::EVP_MAC_update(context.get(), rest.data(), rest.size()) != 1 ||
      ::EVP_MAC_final(context.get(), out, &length, 20) != 1) {
    LogLine(LogLevel::kError, "HMAC-SHA1 is not available in this OpenSSL; cannot go on");
    std::abort();
  }
}

void fill_random(MutableBytes out) {
  if (::RAND_bytes(out.data(), static_cast<int>(out.size())) != 1) {
    LogLine(LogLevel::kError, "no random numbers from OpenSSL; cannot go on");
    std::abort();
  }
}

void fill_random_from_stock(MutableBytes out) {
  static std::array<std::uint8_t, std::size_t{32} * 1024> stock;
  static std::size_t left = 0;
  if (out.size() > stock.size()) return fill_random(out);
  if (left < out.size()) {
    fill_random(stock);
    left = stock.size();
  }
  std::memcpy(out.data(), stock.data() + stock.size() - left, out.size());
  left -= out.size();
}

HashSeed random_hash_seed() {
  std::array<std::uint8_t, sizeof(HashSeed)> bytes{};
  fill_random(bytes);
  HashSeed seed;
  std::memcpy(&seed, bytes.data(), sizeof seed);
  return seed;
}

}  // namespace weir::net
