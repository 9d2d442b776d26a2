// SRT packets (draft-sharabayko-srt-01, section 3) as a router must know them: the header of each,
// the whole handshake, and what acknowledgements and loss reports say in clear. Pure, parsed in
// place, nothing allocated; what is parsed holds views of the datagram.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/endpoint.h"
#include "common/base/limits.h"

namespace weir::srt {

inline constexpr std::size_t kHeaderBytes = 16;
inline constexpr std::size_t kHandshakeBytes = kHeaderBytes + 48;  // without extensions

enum class ControlType : std::uint16_t {
  kHandshake = 0,
  kKeepAlive = 1,
  kAck = 2,
  kNak = 3,
  kCongestion = 4,
  kShutdown = 5,
  kAckAck = 6,
  kDropRequest = 7,
  kPeerError = 8,
  kUserDefined = 0x7FFF,
};

struct Header {
  bool control = false;
  ControlType type = ControlType::kHandshake;  // of a control packet; may be none of the names
  std::uint32_t sequence = 0;                  // of a data packet
  std::uint32_t info = 0;         // type-specific; in data packets flags and message number
  std::uint32_t timestamp = 0;    // microseconds since the sender's start
  std::uint32_t destination = 0;  // socket id of the receiver; 0: a connection request

  bool is(ControlType wanted) const { return control && type == wanted; }
};

// False: less than a header.
bool parse_header(ByteView datagram, Header& out);
// In place. REQUIRES: at least kHeaderBytes.
void set_timestamp(MutableBytes datagram, std::uint32_t timestamp);
void set_destination(MutableBytes datagram, std::uint32_t socket_id);

// ---- the handshake (3.2.1)

// From 1000 on: a rejection, see Reject.
enum class HandshakeType : std::uint32_t {
  kWaveAHand = 0,
  kInduction = 1,
  kConclusion = 0xFFFFFFFF,
  kAgreement = 0xFFFFFFFE,
};
inline constexpr std::uint32_t kFirstRejection = 1000;
inline constexpr std::uint32_t kLastRejection = 0x7FFFFFFF;

// What a handshake type above 1000 means: 1000 and the reason. Those from 2000 on are HTTP's
// (docs of libsrt, access-control.md).
enum class Reject : std::uint32_t {
  kUnknown = 1000,
  kResource = 1003,
  kRogue = 1004,
  kVersion = 1008,
  kTimeout = 1016,
  kBadRequest = 2400,
  kUnauthorized = 2401,
  kOverload = 2402,
  kForbidden = 2403,
  kNotFound = 2404,
  kBadMode = 2405,
  kUnimplemented = 2501,
  kGateway = 2502,
  kDown = 2503,
};
std::string_view to_string(Reject reject);  // snake_case; "other" for the rest

enum class ExtensionType : std::uint16_t {
  kHsReq = 1,
  kHsRsp = 2,
  kKmReq = 3,
  kKmRsp = 4,
  kStreamId = 5,
  kCongestion = 6,
  kFilter = 7,
  kGroup = 8,
};

inline constexpr std::uint16_t kInductionMagic = 0x4A17;  // extension field of a listener's answer

struct Handshake {
  Header header;
  std::uint32_t version = 0;
  std::uint16_t encryption = 0;
  std::uint16_t extension = 0;  // flags, or kInductionMagic; version 4: the socket type
  std::uint32_t initial_sequence = 0;
  std::uint32_t mss = 0;
  std::uint32_t window = 0;
  HandshakeType type = HandshakeType::kInduction;
  std::uint32_t socket_id = 0;  // of the sender
  std::uint32_t cookie = 0;
  ByteView extensions;  // with their headers, checked to fill the packet exactly

  bool rejection() const {
    const auto value = static_cast<std::uint32_t>(type);
    return value >= kFirstRejection && value <= kLastRejection;
  }
};

enum class HandshakeError : std::uint8_t {
  kNone,
  kTooShort,
  kTooLong,       // limits::kSrtHandshakeBytes
  kNotHandshake,  // another packet
  kBadExtension,  // an extension passes the end
};
std::string_view to_string(HandshakeError error);

HandshakeError parse_handshake(ByteView datagram, Handshake& out);
// Writes a handshake without extensions. REQUIRES: out has kHandshakeBytes. Returns that part of
// it.
ByteView write_handshake(MutableBytes out, const Handshake& handshake, const Endpoint& peer);
// A caller's first word, of which a listener keeps nothing: what may be asked of anybody.
// REQUIRES: out has kHandshakeBytes.
ByteView write_induction(MutableBytes out, std::uint32_t socket_id);
// Whether that is the answer to it; libsrt up to 1.3.0 addresses it to nobody.
bool answers_induction(const Handshake& answer, std::uint32_t socket_id);
// In place; the rest stays. REQUIRES: at least kHandshakeBytes.
void set_cookie(MutableBytes datagram, std::uint32_t cookie);
void set_handshake_type(MutableBytes datagram, std::uint32_t type);
// The receiver's address as the sender sees it. libsrt has IPv4 in the first word and every word
// byte-reversed, and so have all that speak to it.
void set_peer_address(MutableBytes datagram, const Endpoint& peer);

// Extensions one after the other. REQUIRES: `extensions` of a parsed handshake.
struct Extension {
  ExtensionType type = ExtensionType::kHsReq;
  ByteView content;
};
bool next_extension(ByteView& extensions, Extension& out);

// The text of an extension (3.2.1.3): words byte-reversed, padded with zeros.
std::string text_of_words(ByteView content);
// The stream id into `out`. An absent one is empty. False: longer than 512 bytes.
bool stream_id_of(const Handshake& handshake, std::string& out);

// ---- the end (3.2.7)

// With one empty word behind the header, as libsrt has it.
inline constexpr std::size_t kShutdownBytes = kHeaderBytes + 4;
// REQUIRES: out has kShutdownBytes. Returns that part of it.
ByteView write_shutdown(MutableBytes out, std::uint32_t destination);

// ---- statistics in clear

// Of a full acknowledgement (3.2.4); empty for a light one and for any other packet.
struct AckInfo {
  std::uint32_t rtt_us = 0;
  std::uint32_t rtt_variance_us = 0;
};
std::optional<AckInfo> ack_info(ByteView datagram);

// How many packets a loss report (3.2.5) names; 0 for any other packet. Ranges that cannot be are
// not counted.
std::uint32_t lost_packets(ByteView datagram);

}  // namespace weir::srt
