#include "common/net/crypto.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <cstdlib>

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

void fill_random(MutableBytes out) {
  if (::RAND_bytes(out.data(), static_cast<int>(out.size())) != 1) {
    LogLine(LogLevel::kError, "no random numbers from OpenSSL; cannot go on");
    std::abort();
  }
}

}  // namespace weir::net
