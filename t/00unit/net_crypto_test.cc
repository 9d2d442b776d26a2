// What pure code gets injected, against published vectors.
#include <doctest/doctest.h>

#include <cstring>
#include <set>
#include <string>
#include <vector>

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

TEST_CASE("no bytes of the stock of random ones are given out twice") {
  std::set<std::vector<std::uint8_t>> seen;
  for (const std::size_t size : {std::size_t{1536}, std::size_t{16}, std::size_t{50'000}}) {
    for (int round = 0; round < 60; ++round) {  // more than one stock of the larger ones
      std::vector<std::uint8_t> block(size);
      fill_random_from_stock(block);
      for (std::size_t at = 0; at + 16 <= size; at += 16) {
        const auto from = block.begin() + static_cast<std::ptrdiff_t>(at);
        CHECK(seen.emplace(from, from + 16).second);
      }
    }
  }
}

}  // namespace
}  // namespace weir::net
