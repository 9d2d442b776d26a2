#include "common/proto/rtmp/handshake.h"

#include <algorithm>

namespace weir::rtmp {
namespace {

constexpr std::uint8_t kVersion = 3;
constexpr std::size_t kHalfBytes = 764;  // key part and digest part of a block
constexpr std::size_t kDigestRange = kHalfBytes - 4 - kDigestBytes;
constexpr std::size_t kVersionAt = 4;  // after the time
constexpr std::size_t kProxyAddressBytes = 4;

constexpr std::string_view kClientName = "Genuine Adobe Flash Player 001";
constexpr std::string_view kServerName = "Genuine Adobe Flash Media Server 001";
// Appended to either name where a whole block, not only its digest, is signed.
constexpr std::array<std::uint8_t, 32> kKeyTail = {
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57,
    0x6E, 0xEC, 0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE};
// Any version that knows digests; peers look for a digest in S1 only if the first byte is >= 3.
constexpr std::array<std::uint8_t, 4> kServerVersion = {4, 5, 0, 1};
constexpr std::array<std::uint8_t, 4> kClientVersion = {10, 0, 32, 18};

std::string_view signer_name(Signer signer) {
  return signer == Signer::kClient ? kClientName : kServerName;
}

// Where the digest lies: four offset bytes, summed, choose its place in its half.
std::size_t digest_at(ByteView block, DigestSchema schema) {
  const std::size_t base = schema == DigestSchema::kSchema0 ? 8 + kHalfBytes : 8;
  const std::size_t sum =
      std::size_t{block[base]} + block[base + 1] + block[base + 2] + block[base + 3];
  return base + 4 + sum % kDigestRange;
}

// HMAC over the block without the digest itself.
Digest digest_of(const HandshakeCrypto& crypto, ByteView block, Signer signer, std::size_t at) {
  std::array<std::uint8_t, kHandshakeBytes - kDigestBytes> joined;
  const auto tail = block.subspan(at + kDigestBytes);
  std::copy_n(block.begin(), at, joined.begin());
  std::copy(tail.begin(), tail.end(), joined.begin() + static_cast<std::ptrdiff_t>(at));
  Digest out;
  crypto.hmac_sha256(as_bytes(signer_name(signer)), joined, out.data());
  return out;
}

// Moves bytes from the front of `in` to `buffer` until that has `want` of them.
bool fill(std::vector<std::uint8_t>& buffer, std::size_t want, ByteView& in) {
  const std::size_t n = std::min(want - buffer.size(), in.size());
  if (buffer.empty()) buffer.reserve(want);
  buffer.insert(buffer.end(), in.begin(), in.begin() + static_cast<std::ptrdiff_t>(n));
  in = in.subspan(n);
  return buffer.size() == want;
}

// The last block of either side (C2, S2) is counted, not kept.
ParseStatus discard(std::size_t& seen, ByteView& in) {
  const std::size_t n = std::min(kHandshakeBytes - seen, in.size());
  seen += n;
  in = in.subspan(n);
  return seen == kHandshakeBytes ? ParseStatus::kComplete : ParseStatus::kNeedMore;
}

// Grows `out` by one block of random bytes and returns a view of it.
MutableBytes append_random_block(const HandshakeCrypto& crypto, std::vector<std::uint8_t>& out) {
  out.resize(out.size() + kHandshakeBytes);
  MutableBytes block = MutableBytes(out).last(kHandshakeBytes);
  crypto.fill_random(block);
  return block;
}

}  // namespace

DigestSchema find_digest(const HandshakeCrypto& crypto, ByteView block, Signer signer,
                         Digest& digest) {
  for (const DigestSchema schema : {DigestSchema::kSchema0, DigestSchema::kSchema1}) {
    const std::size_t at = digest_at(block, schema);
    const Digest want = digest_of(crypto, block, signer, at);
    if (std::equal(want.begin(), want.end(), block.begin() + static_cast<std::ptrdiff_t>(at))) {
      digest = want;
      return schema;
    }
  }
  return DigestSchema::kNone;
}

void sign_block(const HandshakeCrypto& crypto, MutableBytes block, Signer signer,
                DigestSchema schema, Digest& digest) {
  const std::size_t at = digest_at(block, schema);
  digest = digest_of(crypto, block, signer, at);
  std::copy(digest.begin(), digest.end(), block.begin() + static_cast<std::ptrdiff_t>(at));
}

void sign_answer(const HandshakeCrypto& crypto, MutableBytes block, Signer signer,
                 const Digest& peer_digest) {
  const std::string_view name = signer_name(signer);
  std::array<std::uint8_t, kServerName.size() + kKeyTail.size()> key;
  const auto tail = std::copy(name.begin(), name.end(), key.begin());
  std::copy(kKeyTail.begin(), kKeyTail.end(), tail);
  Digest temporary;
  crypto.hmac_sha256(ByteView(key).first(name.size() + kKeyTail.size()), peer_digest,
                     temporary.data());
  const std::size_t body = kHandshakeBytes - kDigestBytes;
  crypto.hmac_sha256(temporary, block.first(body), block.data() + body);
}

ParseStatus ServerHandshake::feed(ByteView& in, std::vector<std::uint8_t>& out) {
  if (!answered_) {
    if (c0c1_.empty() && !in.empty() && in[0] != kVersion) return ParseStatus::kInvalid;
    if (!fill(c0c1_, 1 + kHandshakeBytes, in)) return ParseStatus::kNeedMore;
    answer(out);
    answered_ = true;
    std::vector<std::uint8_t>().swap(c0c1_);
  }
  return discard(c2_seen_, in);
}

void ServerHandshake::answer(std::vector<std::uint8_t>& out) {
  const ByteView c1 = ByteView(c0c1_).subspan(1);
  Digest c1_digest;
  DigestSchema schema = DigestSchema::kNone;
  // A simple C1 has zeros where the others have a version; don't spend two HMACs on it.
  if (load_be32(c1.data() + kVersionAt) != 0) {
    schema = find_digest(crypto_, c1, Signer::kClient, c1_digest);
  }
  digest_used_ = schema != DigestSchema::kNone;
  out.reserve(out.size() + 1 + 2 * kHandshakeBytes);
  out.push_back(kVersion);
  MutableBytes s1 = append_random_block(crypto_, out);
  std::fill_n(s1.begin(), 8, std::uint8_t{0});
  if (!digest_used_) {
    out.insert(out.end(), c1.begin(), c1.end());
    return;
  }
  std::copy(kServerVersion.begin(), kServerVersion.end(), s1.begin() + kVersionAt);
  Digest s1_digest;
  sign_block(crypto_, s1, Signer::kServer, schema, s1_digest);
  sign_answer(crypto_, append_random_block(crypto_, out), Signer::kServer, c1_digest);
}

void ClientHandshake::start(std::vector<std::uint8_t>& out) {
  if (options_.client_ipv4) {
    out.push_back(0xF3);
    out.push_back(0);
    out.push_back(kProxyAddressBytes);
    out.insert(out.end(), options_.client_ipv4->begin(), options_.client_ipv4->end());
  }
  out.push_back(kVersion);
  MutableBytes c1 = append_random_block(crypto_, out);
  std::fill_n(c1.begin(), 8, std::uint8_t{0});
  if (!options_.digest) return;
  std::copy(kClientVersion.begin(), kClientVersion.end(), c1.begin() + kVersionAt);
  Digest digest;
  sign_block(crypto_, c1, Signer::kClient, DigestSchema::kSchema1, digest);
}

ParseStatus ClientHandshake::feed(ByteView& in, std::vector<std::uint8_t>& out) {
  if (!answered_) {
    if (s0s1_.empty() && !in.empty() && in[0] != kVersion) return ParseStatus::kInvalid;
    if (!fill(s0s1_, 1 + kHandshakeBytes, in)) return ParseStatus::kNeedMore;
    if (!answer(out)) return ParseStatus::kInvalid;
    answered_ = true;
    std::vector<std::uint8_t>().swap(s0s1_);
  }
  return discard(s2_seen_, in);
}

bool ClientHandshake::answer(std::vector<std::uint8_t>& out) {
  const ByteView s1 = ByteView(s0s1_).subspan(1);
  if (!options_.digest) {
    out.insert(out.end(), s1.begin(), s1.end());
    return true;
  }
  Digest s1_digest;
  if (find_digest(crypto_, s1, Signer::kServer, s1_digest) == DigestSchema::kNone) return false;
  sign_answer(crypto_, append_random_block(crypto_, out), Signer::kClient, s1_digest);
  return true;
}

}  // namespace weir::rtmp
