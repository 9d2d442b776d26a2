// The stateless pin: a query parameter that names the origin of a playlist, so that the segments
// and child playlists come back to it through any worker, after any restart, and through another
// Weir that shares nothing but the (optional) secret. PROTOCOLS, "HTTP streams". Pure; holds
// nothing.
//
// 22 base64url characters = 16 bytes: a 64-bit fingerprint of the origin's HTTP endpoint and a
// 64-bit MAC (SipHash) over fingerprint and scope. The scope is the first directory of the path, so
// a hint cannot be carried to another app, yet nested segments (`/app/cam/0.ts`) keep theirs.
// With an empty secret the key is public: a hint then only picks among the registered origins.
//
// A hint never names an address: who gets one looks for the known origin with that fingerprint, and
// routes by the stream key if there is none, or if the hint is not sound.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/endpoint.h"
#include "common/base/hash.h"

namespace weir::route {

inline constexpr std::string_view kHintParameter = "weir";
inline constexpr std::size_t kHintChars = 22;

struct HintKey {
  HashSeed fingerprint;
  HashSeed mac;
};
// The same secret gives the same key everywhere and always. Not a password hash: use a random
// secret of 16 bytes or more.
HintKey derive_hint_key(std::string_view secret);

// Of the origin's HTTP endpoint, `ip:port` as to_string(Endpoint) writes it. The protocol does not
// count.
std::uint64_t origin_fingerprint(const HintKey& key, std::string_view endpoint_text);
std::uint64_t origin_fingerprint(const HintKey& key, const Endpoint& endpoint);

struct OriginHint {
  std::uint64_t fingerprint = 0;
  std::uint64_t mac = 0;
};

// The part of a path (`/live/cam/0.ts`) that a hint is bound to: the first directory (`live`), or
// nothing for a file in the root. What hls::RewriteOptions::pin_for is called with.
std::string_view hint_scope(std::string_view path);

std::string make_hint(const HintKey& key, std::uint64_t fingerprint, std::string_view scope);
// Hints that were made before: a playlist needs the same one each time. Each place holds the last
// pair that fell on it, so memory is bounded whatever clients ask for.
class HintCache {
 public:
  explicit HintCache(const HintKey& key) : key_(key) {}
  // Lives until the next call.
  const std::string& of(const Endpoint& endpoint, std::string_view scope);

 private:
  struct Entry {
    Endpoint endpoint;
    std::string scope;
    std::string hint;  // empty: unused
  };
  HintKey key_;
  std::array<Entry, 64> entries_;
};

// Only the form: 22 characters in their one canonical spelling.
std::optional<OriginHint> parse_hint(std::string_view text);
// Whether the MAC is right, in constant time.
bool verify_hint(const HintKey& key, const OriginHint& hint, std::string_view scope);
// All of it: the value of the request's hint parameter in, the origin's fingerprint out.
std::optional<std::uint64_t> read_hint(const HintKey& key, std::string_view hint,
                                       std::string_view path);

// What this Weir has added to an address. Hints nest: with another Weir as the origin an address
// has its parameters already, and ours are appended behind them. So ours are the last hint, and a
// `companion` parameter right before it (or, without a hint, the last companion). Views into the
// query.
struct OwnParams {
  std::string_view hint;
  std::string_view companion;
  std::string rest;  // the query without these
};
OwnParams take_own_params(std::string_view query, std::string_view companion);

// The first value of the hint parameter in a query (without `?`), as written; empty if none.
std::string_view hint_in_query(std::string_view query);
// The query without hint parameters: what the origin gets to see.
std::string query_without_hint(std::string_view query);

}  // namespace weir::route
