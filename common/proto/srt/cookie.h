// The cookie of a handshake: proves that the sender of a conclusion got our answer to its
// induction, so that nothing is kept for an address that was made up. Stateless: a keyed hash of
// address, socket id and a time slot. Pure.
#pragma once

#include <cstdint>

#include "common/base/endpoint.h"
#include "common/base/hash.h"

namespace weir::srt {

// A cookie is good in its slot and the next one.
inline constexpr std::uint64_t kCookieSlotMs = 30'000;

// `seed` and the clock must be the same in every worker: the conclusion may reach another one.
// Never 0, which stands for "no cookie".
std::uint32_t make_cookie(HashSeed seed, const Endpoint& peer, std::uint32_t caller_id,
                          std::uint64_t now_ms);
bool cookie_ok(HashSeed seed, const Endpoint& peer, std::uint32_t caller_id, std::uint32_t cookie,
               std::uint64_t now_ms);

}  // namespace weir::srt
