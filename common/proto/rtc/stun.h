// STUN messages (RFC 8489) as ICE uses them (RFC 8445): parsed in place, checked, and written into
// a buffer of the caller. Pure; nothing is allocated, so a flood of garbage costs no memory. A
// StunMessage holds views of the datagram and lives no longer than that.
//
// A datagram is believed in steps: parse_stun() says that it is well formed (a wrong FINGERPRINT
// is an error, a missing one is not); integrity_ok() that its sender knows the password.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/endpoint.h"

namespace weir::rtc {

inline constexpr std::size_t kStunHeaderBytes = 20;
inline constexpr std::size_t kStunIntegrityBytes = 20;  // HMAC-SHA1
inline constexpr std::uint16_t kStunBinding = 1;
// USERNAME has fewer than 509 bytes (RFC 8489, section 14.3).
inline constexpr std::size_t kStunUsernameBytes = 508;
// Room for what this project writes: a binding request with every attribute of ICE.
inline constexpr std::size_t kStunWriteBytes = 768;

enum class StunClass : std::uint8_t { kRequest = 0, kIndication = 1, kSuccess = 2, kError = 3 };

enum class StunAttribute : std::uint16_t {
  kUsername = 0x0006,
  kMessageIntegrity = 0x0008,
  kErrorCode = 0x0009,
  kUnknownAttributes = 0x000A,
  kXorMappedAddress = 0x0020,
  kPriority = 0x0024,
  kUseCandidate = 0x0025,
  kSoftware = 0x8022,
  kFingerprint = 0x8028,
  kIceControlled = 0x8029,
  kIceControlling = 0x802A,
};

using StunTransaction = std::array<std::uint8_t, 12>;

// What this needs from outside: HMAC-SHA1 over `head` followed by `rest`, to `out` (20 bytes). Two
// parts, because the header's length field counts differently for the sum (RFC 8489, 14.5).
struct StunCrypto {
  void (*hmac_sha1)(ByteView key, ByteView head, ByteView rest, std::uint8_t* out);
};

enum class StunError : std::uint8_t {
  kNone,
  kTooShort,        // less than a header
  kNotStun,         // first bits or magic cookie are not STUN's
  kBadLength,       // the header's length is not the datagram's, or not a multiple of 4
  kBadAttribute,    // passes the end, or has a size that its type cannot have
  kBadFingerprint,  // the checksum differs, or something follows it
};
std::string_view to_string(StunError error);

struct StunMessage {
  StunClass cls = StunClass::kRequest;
  std::uint16_t method = 0;
  StunTransaction transaction = {};
  // The first attribute of each type counts, and none after MESSAGE-INTEGRITY but FINGERPRINT
  // (RFC 8489, sections 14 and 14.5).
  std::string_view username;     // empty: none
  std::size_t integrity_at = 0;  // offset of MESSAGE-INTEGRITY, 0: none
  bool has_fingerprint = false;  // present and right
  bool use_candidate = false;
  std::uint32_t priority = 0;                // 0: none
  std::optional<std::uint64_t> controlling;  // the tie-breaker of ICE-CONTROLLING
  std::optional<std::uint64_t> controlled;   // or of ICE-CONTROLLED
  std::uint16_t error_code = 0;              // 300 to 699; 0: none
  std::optional<Endpoint> mapped;            // XOR-MAPPED-ADDRESS
  // The first comprehension-required attribute that is not in StunAttribute; 0: none.
  std::uint16_t unknown_required = 0;
  ByteView bytes;  // the whole message

  bool is_binding(StunClass wanted) const { return method == kStunBinding && cls == wanted; }
};

StunError parse_stun(ByteView datagram, StunMessage& out);

// Whether MESSAGE-INTEGRITY is there and was made with `key` (ICE: the password of the side that
// gets the request). Compares in constant time.
bool integrity_ok(const StunMessage& message, ByteView key, const StunCrypto& crypto);

// USERNAME of a request: `receiver's ufrag:sender's ufrag` (RFC 8445, 7.2.2). Both empty if there
// is no colon or one of them would be empty.
struct UfragPair {
  std::string_view receiver;
  std::string_view sender;
};
UfragPair split_username(std::string_view username);

// Writes one message. Attributes come out in the order of the calls; add_integrity() before
// add_fingerprint(), both at the end. What does not fit makes finish() return an empty view.
class StunWriter {
 public:
  // REQUIRES: `out` outlives the writer and what finish() returns.
  StunWriter(MutableBytes out, StunClass cls, std::uint16_t method,
             const StunTransaction& transaction);

  StunWriter& add(StunAttribute type, ByteView value);
  StunWriter& add_u32(StunAttribute type, std::uint32_t value);
  StunWriter& add_u64(StunAttribute type, std::uint64_t value);
  StunWriter& add_xor_mapped_address(const Endpoint& address);
  StunWriter& add_error(std::uint16_t code, std::string_view reason);
  StunWriter& add_integrity(ByteView key, const StunCrypto& crypto);
  StunWriter& add_fingerprint();
  ByteView finish() const;

 private:
  // Room for an attribute's value, its header written and the message's length raised; null if
  // there is none.
  std::uint8_t* append(StunAttribute type, std::size_t size);

  MutableBytes out_;
  std::size_t size_ = 0;
  bool overflow_ = false;
};

// The answer to a binding request: where it came from. With `key` (the password) integrity is
// added, as ICE wants it; a plain STUN server answers without.
ByteView write_binding_success(MutableBytes out, const StunTransaction& transaction,
                               const Endpoint& from, ByteView key, const StunCrypto& crypto);

// A binding request as a controlling ICE agent sends it, for load tools and tests.
struct BindingRequest {
  StunTransaction transaction = {};
  std::string_view username;  // receiver:sender
  std::string_view password;  // the receiver's
  std::uint32_t priority = 0x6E7F1EFF;
  std::uint64_t tie_breaker = 0;
  bool use_candidate = false;
};
ByteView write_binding_request(MutableBytes out, const BindingRequest& request,
                               const StunCrypto& crypto);

// CRC-32 of ISO 3309, which FINGERPRINT uses before it is XORed.
std::uint32_t crc32(ByteView bytes, std::uint32_t before = 0);

}  // namespace weir::rtc
