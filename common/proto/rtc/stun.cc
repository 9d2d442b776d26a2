#include "common/proto/rtc/stun.h"

#include <algorithm>
#include <cstring>

#include "common/base/network.h"

namespace weir::rtc {
namespace {

constexpr std::uint32_t kMagicCookie = 0x2112A442;
constexpr std::uint32_t kFingerprintXor = 0x5354554E;
constexpr std::size_t kAttributeHeader = 4;
constexpr std::size_t kFingerprintBytes = 4;

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table = {};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? 0xEDB88320U ^ (c >> 1) : c >> 1;
    table[i] = c;
  }
  return table;
}
constexpr auto kCrcTable = make_crc_table();

// A copy of the header that says that the message ends at `end`.
std::array<std::uint8_t, kStunHeaderBytes> header_ending_at(ByteView message, std::size_t end) {
  std::array<std::uint8_t, kStunHeaderBytes> header;
  std::copy_n(message.begin(), kStunHeaderBytes, header.begin());
  store_be16(header.data() + 2, static_cast<std::uint16_t>(end - kStunHeaderBytes));
  return header;
}

// The checksum that a FINGERPRINT at `at` must have.
std::uint32_t fingerprint_of(ByteView message, std::size_t at) {
  const auto header = header_ending_at(message, at + kAttributeHeader + kFingerprintBytes);
  const ByteView rest = message.subspan(kStunHeaderBytes, at - kStunHeaderBytes);
  return crc32(rest, crc32(header)) ^ kFingerprintXor;
}

void integrity_of(ByteView message, std::size_t at, ByteView key, const StunCrypto& crypto,
                  std::uint8_t* out) {
  const auto header = header_ending_at(message, at + kAttributeHeader + kStunIntegrityBytes);
  crypto.hmac_sha1(key, header, message.subspan(kStunHeaderBytes, at - kStunHeaderBytes), out);
}

// XORs an address with the magic cookie and the transaction, which undoes itself (14.2).
void xor_address(std::uint8_t* ip, std::size_t size, const std::uint8_t* cookie_and_transaction) {
  for (std::size_t i = 0; i < size; ++i) ip[i] ^= cookie_and_transaction[i];
}

bool parse_xor_address(ByteView value, const std::uint8_t* cookie, std::optional<Endpoint>& out) {
  if (value.size() < 8) return false;
  const bool v6 = value[1] == 2;
  const std::size_t ip_bytes = v6 ? 16 : 4;
  if ((value[1] != 1 && !v6) || value.size() != 4 + ip_bytes) return false;
  Endpoint endpoint;
  endpoint.family = v6 ? Family::kIpv6 : Family::kIpv4;
  endpoint.port = load_be16(value.data() + 2) ^ load_be16(cookie);
  std::copy_n(value.begin() + 4, ip_bytes, endpoint.ip);
  xor_address(endpoint.ip, ip_bytes, cookie);
  if (!out) out = endpoint;
  return true;
}

bool parse_error_code(ByteView value, std::uint16_t& out) {
  if (value.size() < 4) return false;
  const unsigned hundreds = value[2] & 7U;
  const unsigned rest = value[3];
  if (hundreds < 3 || hundreds > 6 || rest > 99) return false;
  if (out == 0) out = static_cast<std::uint16_t>(hundreds * 100 + rest);
  return true;
}

bool parse_tie_breaker(ByteView value, std::optional<std::uint64_t>& out) {
  if (value.size() != 8) return false;
  if (!out) out = load_be64(value.data());
  return true;
}

// One attribute that is not MESSAGE-INTEGRITY or FINGERPRINT. False: it cannot be right.
bool parse_attribute(std::uint16_t type, ByteView value, StunMessage& out) {
  switch (static_cast<StunAttribute>(type)) {
    case StunAttribute::kUsername:
      if (value.empty() || value.size() > kStunUsernameBytes) return false;
      if (out.username.empty()) out.username = as_text(value);
      return true;
    case StunAttribute::kErrorCode:
      return parse_error_code(value, out.error_code);
    case StunAttribute::kXorMappedAddress:
      return parse_xor_address(value, out.bytes.data() + 4, out.mapped);
    case StunAttribute::kPriority:
      if (value.size() != 4) return false;
      if (out.priority == 0) out.priority = load_be32(value.data());
      return true;
    case StunAttribute::kUseCandidate:
      out.use_candidate = true;
      return value.empty();
    case StunAttribute::kIceControlled:
      return parse_tie_breaker(value, out.controlled);
    case StunAttribute::kIceControlling:
      return parse_tie_breaker(value, out.controlling);
    case StunAttribute::kUnknownAttributes:
    case StunAttribute::kMessageIntegrity:
    case StunAttribute::kSoftware:
    case StunAttribute::kFingerprint:
      return true;
  }
  if (type < 0x8000 && out.unknown_required == 0) out.unknown_required = type;
  return true;
}

StunError parse_header(ByteView datagram, StunMessage& out) {
  if (datagram.size() < kStunHeaderBytes) return StunError::kTooShort;
  const std::uint16_t type = load_be16(datagram.data());
  if ((type & 0xC000) != 0 || load_be32(datagram.data() + 4) != kMagicCookie) {
    return StunError::kNotStun;
  }
  const std::size_t length = load_be16(datagram.data() + 2);
  if (length % 4 != 0 || kStunHeaderBytes + length != datagram.size()) {
    return StunError::kBadLength;
  }
  // The class's two bits stand between those of the method (RFC 8489, figure 3).
  out.cls = static_cast<StunClass>(((type >> 4) & 1) | ((type >> 7) & 2));
  out.method =
      static_cast<std::uint16_t>((type & 0x0F) | ((type >> 1) & 0x70) | ((type >> 2) & 0xF80));
  std::copy_n(datagram.begin() + 8, out.transaction.size(), out.transaction.begin());
  out.bytes = datagram;
  return StunError::kNone;
}

bool equal_in_constant_time(const std::uint8_t* a, const std::uint8_t* b, std::size_t size) {
  unsigned different = 0;
  for (std::size_t i = 0; i < size; ++i) different |= static_cast<unsigned>(a[i] ^ b[i]);
  return different == 0;
}

}  // namespace

std::string_view to_string(StunError error) {
  switch (error) {
    case StunError::kNone:
      return "none";
    case StunError::kTooShort:
      return "too_short";
    case StunError::kNotStun:
      return "not_stun";
    case StunError::kBadLength:
      return "bad_length";
    case StunError::kBadAttribute:
      return "bad_attribute";
    case StunError::kBadFingerprint:
      return "bad_fingerprint";
  }
  return "unknown";
}

std::uint32_t crc32(ByteView bytes, std::uint32_t before) {
  std::uint32_t c = ~before;
  for (const std::uint8_t byte : bytes) c = kCrcTable[(c ^ byte) & 0xFF] ^ (c >> 8);
  return ~c;
}

StunError parse_stun(ByteView datagram, StunMessage& out) {
  out = {};
  if (const StunError error = parse_header(datagram, out); error != StunError::kNone) return error;
  for (std::size_t at = kStunHeaderBytes; at < datagram.size();) {
    if (out.has_fingerprint) return StunError::kBadFingerprint;
    // Everything is a multiple of 4, so at least a header is left.
    const std::uint16_t type = load_be16(datagram.data() + at);
    const std::size_t size = load_be16(datagram.data() + at + 2);
    const std::size_t padded = (size + 3) & ~std::size_t{3};
    if (padded > datagram.size() - at - kAttributeHeader) return StunError::kBadAttribute;
    const ByteView value = datagram.subspan(at + kAttributeHeader, size);
    if (type == static_cast<std::uint16_t>(StunAttribute::kFingerprint)) {
      if (size != kFingerprintBytes) return StunError::kBadAttribute;
      if (load_be32(value.data()) != fingerprint_of(datagram, at)) {
        return StunError::kBadFingerprint;
      }
      out.has_fingerprint = true;
    } else if (out.integrity_at != 0) {
      // Not covered by the integrity: no one knows who wrote it.
    } else if (type == static_cast<std::uint16_t>(StunAttribute::kMessageIntegrity)) {
      if (size != kStunIntegrityBytes) return StunError::kBadAttribute;
      out.integrity_at = at;
    } else if (!parse_attribute(type, value, out)) {
      return StunError::kBadAttribute;
    }
    at += kAttributeHeader + padded;
  }
  return StunError::kNone;
}

bool integrity_ok(const StunMessage& message, ByteView key, const StunCrypto& crypto) {
  if (message.integrity_at == 0 || key.empty()) return false;
  std::uint8_t want[kStunIntegrityBytes];
  integrity_of(message.bytes, message.integrity_at, key, crypto, want);
  const std::uint8_t* got = message.bytes.data() + message.integrity_at + kAttributeHeader;
  return equal_in_constant_time(want, got, sizeof want);
}

UfragPair split_username(std::string_view username) {
  const std::size_t colon = username.find(':');
  if (colon == 0 || colon == std::string_view::npos || colon + 1 == username.size()) return {};
  return {username.substr(0, colon), username.substr(colon + 1)};
}

StunWriter::StunWriter(MutableBytes out, StunClass cls, std::uint16_t method,
                       const StunTransaction& transaction)
    : out_(out), overflow_(out.size() < kStunHeaderBytes) {
  if (overflow_) return;
  const auto c = static_cast<unsigned>(cls);
  const unsigned type = (method & 0x0FU) | ((method & 0x70U) << 1) | ((method & 0xF80U) << 2) |
                        ((c & 1U) << 4) | ((c & 2U) << 7);
  store_be16(out_.data(), static_cast<std::uint16_t>(type));
  store_be16(out_.data() + 2, 0);
  store_be32(out_.data() + 4, kMagicCookie);
  std::copy(transaction.begin(), transaction.end(), out_.begin() + 8);
  size_ = kStunHeaderBytes;
}

std::uint8_t* StunWriter::append(StunAttribute type, std::size_t size) {
  const std::size_t padded = (size + 3) & ~std::size_t{3};
  const std::size_t room = std::min(out_.size(), kStunHeaderBytes + 0xFFFC);
  if (overflow_ || size > 0xFFFF || kAttributeHeader + padded > room - size_) {
    overflow_ = true;
    return nullptr;
  }
  std::uint8_t* at = out_.data() + size_;
  store_be16(at, static_cast<std::uint16_t>(type));
  store_be16(at + 2, static_cast<std::uint16_t>(size));
  std::memset(at + kAttributeHeader, 0, padded);
  size_ += kAttributeHeader + padded;
  store_be16(out_.data() + 2, static_cast<std::uint16_t>(size_ - kStunHeaderBytes));
  return at + kAttributeHeader;
}

StunWriter& StunWriter::add(StunAttribute type, ByteView value) {
  if (std::uint8_t* at = append(type, value.size())) std::copy(value.begin(), value.end(), at);
  return *this;
}

StunWriter& StunWriter::add_u32(StunAttribute type, std::uint32_t value) {
  if (std::uint8_t* at = append(type, 4)) store_be32(at, value);
  return *this;
}

StunWriter& StunWriter::add_u64(StunAttribute type, std::uint64_t value) {
  if (std::uint8_t* at = append(type, 8)) store_be64(at, value);
  return *this;
}

StunWriter& StunWriter::add_xor_mapped_address(const Endpoint& address) {
  const Endpoint plain = unmapped(address);
  const std::size_t ip_bytes = plain.family == Family::kIpv6 ? 16 : 4;
  if (std::uint8_t* at = append(StunAttribute::kXorMappedAddress, 4 + ip_bytes)) {
    at[1] = plain.family == Family::kIpv6 ? 2 : 1;
    store_be16(at + 2, plain.port ^ static_cast<std::uint16_t>(kMagicCookie >> 16));
    std::copy_n(plain.ip, ip_bytes, at + 4);
    xor_address(at + 4, ip_bytes, out_.data() + 4);
  }
  return *this;
}

StunWriter& StunWriter::add_error(std::uint16_t code, std::string_view reason) {
  if (std::uint8_t* at = append(StunAttribute::kErrorCode, 4 + reason.size())) {
    at[2] = static_cast<std::uint8_t>(code / 100);
    at[3] = static_cast<std::uint8_t>(code % 100);
    std::copy(reason.begin(), reason.end(), at + 4);
  }
  return *this;
}

StunWriter& StunWriter::add_integrity(ByteView key, const StunCrypto& crypto) {
  const std::size_t start = size_;
  if (std::uint8_t* at = append(StunAttribute::kMessageIntegrity, kStunIntegrityBytes)) {
    integrity_of(out_.first(size_), start, key, crypto, at);
  }
  return *this;
}

StunWriter& StunWriter::add_fingerprint() {
  const std::size_t start = size_;
  if (std::uint8_t* at = append(StunAttribute::kFingerprint, kFingerprintBytes)) {
    store_be32(at, fingerprint_of(out_.first(size_), start));
  }
  return *this;
}

ByteView StunWriter::finish() const {
  return overflow_ ? ByteView() : ByteView(out_.first(size_));
}

ByteView write_binding_success(MutableBytes out, const StunTransaction& transaction,
                               const Endpoint& from, ByteView key, const StunCrypto& crypto) {
  StunWriter writer(out, StunClass::kSuccess, kStunBinding, transaction);
  writer.add_xor_mapped_address(from);
  if (!key.empty()) writer.add_integrity(key, crypto);
  return writer.add_fingerprint().finish();
}

ByteView write_binding_request(MutableBytes out, const BindingRequest& request,
                               const StunCrypto& crypto) {
  StunWriter writer(out, StunClass::kRequest, kStunBinding, request.transaction);
  writer.add(StunAttribute::kUsername, as_bytes(request.username))
      .add_u32(StunAttribute::kPriority, request.priority)
      .add_u64(StunAttribute::kIceControlling, request.tie_breaker);
  if (request.use_candidate) writer.add(StunAttribute::kUseCandidate, {});
  return writer.add_integrity(as_bytes(request.password), crypto).add_fingerprint().finish();
}

}  // namespace weir::rtc
