// The things that pure protocol code needs of OpenSSL, as plain functions to inject.
#pragma once

#include "common/base/bytes.h"
#include "common/base/hash.h"

namespace weir::net {

// HMAC-SHA256 of `data` under `key` into `out` (32 bytes).
void hmac_sha256(ByteView key, ByteView data, std::uint8_t* out);
// HMAC-SHA1 of `head` followed by `rest` under `key` into `out` (20 bytes): STUN's.
void hmac_sha1(ByteView key, ByteView head, ByteView rest, std::uint8_t* out);
// Random bytes that a peer cannot guess. Ends the process when the system has none to give.
void fill_random(MutableBytes out);
// The same from a stock of this process, which is filled in one call: most of what a call to
// OpenSSL costs is the call. For processes that do not fork any more: a child would have the same
// stock.
void fill_random_from_stock(MutableBytes out);
// For tables and caches whose keys come from outside. Ends the process likewise.
HashSeed random_hash_seed();

}  // namespace weir::net
