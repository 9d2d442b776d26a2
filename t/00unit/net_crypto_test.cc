// What pure code gets injected, against published vectors.
#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "common/net/crypto.h"

namespace weir::net {
namespace {

TEST_CASE("HMAC-SHA1 in two parts agrees with RFC 2202, however often it is called") {
  constexpr std::uint8_t kWant[20] = {0xef, 0xfc, 0xdf, 0x6a, 0xe5, 0xeb, 0x2f, 0xa2, 0xd2, 0x74,
                                      0x16, 0xd5, 0xf1, 0x84, 0xdf, 0x9c, 0x25, 0x9a, 0x7c, 0x79};
  const std::string text = "what do ya want for nothing?";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    std::uint8_t out[20];
    hmac_sha1(as_bytes("Jefe"), as_bytes(text.substr(0, cut)), as_bytes(text.substr(cut)), out);
    CHECK(std::memcmp(out, kWant, sizeof out) == 0);
  }
}

}  // namespace
}  // namespace weir::net
