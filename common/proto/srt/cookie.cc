#include "common/proto/srt/cookie.h"

#include <cstring>
#include <string_view>

#include "common/base/bytes.h"

namespace weir::srt {
namespace {

std::uint32_t cookie_in(HashSeed seed, const Endpoint& peer, std::uint32_t caller_id,
                        std::uint64_t slot) {
  std::uint8_t text[1 + sizeof peer.ip + 2 + 4 + 8];
  text[0] = static_cast<std::uint8_t>(peer.family);
  std::memcpy(text + 1, peer.ip, sizeof peer.ip);
  store_be16(text + 17, peer.port);
  store_be32(text + 19, caller_id);
  store_be64(text + 23, slot);
  const auto cookie = static_cast<std::uint32_t>(keyed_hash(seed, as_text(text)));
  return cookie != 0 ? cookie : 1;
}

}  // namespace

std::uint32_t make_cookie(HashSeed seed, const Endpoint& peer, std::uint32_t caller_id,
                          std::uint64_t now_ms) {
  return cookie_in(seed, peer, caller_id, now_ms / kCookieSlotMs);
}

bool cookie_ok(HashSeed seed, const Endpoint& peer, std::uint32_t caller_id, std::uint32_t cookie,
               std::uint64_t now_ms) {
  const std::uint64_t slot = now_ms / kCookieSlotMs;
  return cookie == cookie_in(seed, peer, caller_id, slot) ||
         (slot > 0 && cookie == cookie_in(seed, peer, caller_id, slot - 1));
}

}  // namespace weir::srt
