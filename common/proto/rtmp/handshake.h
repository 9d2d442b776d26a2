// RTMP handshake (RTMP 1.0, 5.2), both sides, with and without Adobe's digest ("complex" C1).
// Pure: HMAC and randomness come from the caller. One object lives as long as one handshake; its
// buffers (about 3 kB) are freed with it. A bad peer is ParseStatus::kInvalid; nothing throws.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/bytes.h"

namespace weir::rtmp {

inline constexpr std::size_t kHandshakeBytes = 1536;  // C1, C2, S1, S2
inline constexpr std::size_t kDigestBytes = 32;

using Digest = std::array<std::uint8_t, kDigestBytes>;

// What the handshake needs from outside. Plain function pointers: no state, cheap to copy.
struct HandshakeCrypto {
  // HMAC-SHA256 of `data` under `key`, written to `out` (32 bytes).
  void (*hmac_sha256)(ByteView key, ByteView data, std::uint8_t* out);
  // Fills `out` with bytes that a peer cannot guess.
  void (*fill_random)(MutableBytes out);
};

// The server's side: C0 C1 in, S0 S1 S2 out, C2 in. Answers with a digest when C1 carries a valid
// one (either layout). C2 is consumed unchecked: several clients in use send anything there.
class ServerHandshake {
 public:
  explicit ServerHandshake(const HandshakeCrypto& crypto) : crypto_(crypto) {}

  // Takes what belongs to the handshake from the front of `in` (and shortens it), appends what the
  // client must get to `out`. kComplete: C2 is in; the rest of `in` is the chunk stream.
  ParseStatus feed(ByteView& in, std::vector<std::uint8_t>& out);
  bool digest_used() const { return digest_used_; }

 private:
  void answer(std::vector<std::uint8_t>& out);

  HandshakeCrypto crypto_;
  std::vector<std::uint8_t> c0c1_;
  std::size_t c2_seen_ = 0;
  bool answered_ = false;
  bool digest_used_ = false;
};

struct ClientHandshakeOptions {
  bool digest = false;  // send a C1 with a digest, demand one of S1
  // Opt-in per origin (SRS): byte 0xF3, u16 length, the client's IPv4 address, before C0. Other
  // servers take it for a bad C0.
  std::optional<std::array<std::uint8_t, 4>> client_ipv4;
};

// The client's side, towards an origin: C0 C1 out, S0 S1 in, C2 out, S2 in.
class ClientHandshake {
 public:
  ClientHandshake(const HandshakeCrypto& crypto, const ClientHandshakeOptions& options)
      : crypto_(crypto), options_(options) {}

  // Appends [0xF3 prefix] C0 C1 to `out`. REQUIRES: called once, before feed().
  void start(std::vector<std::uint8_t>& out);
  // As ServerHandshake::feed: kComplete means that S2 is in and C2 is in `out`.
  ParseStatus feed(ByteView& in, std::vector<std::uint8_t>& out);

 private:
  bool answer(std::vector<std::uint8_t>& out);

  HandshakeCrypto crypto_;
  ClientHandshakeOptions options_;
  std::vector<std::uint8_t> s0s1_;
  std::size_t s2_seen_ = 0;
  bool answered_ = false;
};

// Which half of C1 or S1 holds the digest. kSchema0: key first, digest in the second half.
enum class DigestSchema : std::uint8_t { kNone, kSchema0, kSchema1 };

// Which side signs: clients and servers use different keys.
enum class Signer : std::uint8_t { kClient, kServer };

// Looks for a valid digest in a C1 or S1. REQUIRES: block.size() == kHandshakeBytes.
DigestSchema find_digest(const HandshakeCrypto& crypto, ByteView block, Signer signer,
                         Digest& digest);
// Writes the digest of `block` into it. REQUIRES: as above; schema is not kNone.
void sign_block(const HandshakeCrypto& crypto, MutableBytes block, Signer signer,
                DigestSchema schema, Digest& digest);
// Fills a C2 or S2 (kHandshakeBytes) that answers the peer's digest.
void sign_answer(const HandshakeCrypto& crypto, MutableBytes block, Signer signer,
                 const Digest& peer_digest);

}  // namespace weir::rtmp
