// PROXY protocol, versions 1 and 2: who the client of a balanced connection is. Pure. Parsed from
// the first bytes of a connection that comes from a trusted network, and only there; written as the
// first bytes to origins that ask for it. Spec: HAProxy, doc/proxy-protocol.txt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/endpoint.h"

namespace weir::proxy_protocol {

inline constexpr std::size_t kMaxV1Bytes = 107;
// Version 2 with its TLVs; balancers send some hundred bytes, certificates are the largest part.
inline constexpr std::size_t kMaxV2Bytes = 4096;

enum class Error : std::uint8_t {
  kNone,
  kNoHeader,     // the first bytes belong to neither version
  kBadLine,      // version 1: not as written in the spec
  kBadVersion,   // version 2 signature, other version or command
  kBadFamily,    // version 2: family or transport that isn't defined
  kTooShort,     // version 2: length less than the addresses
  kTooLong,      // over kMaxV1Bytes or kMaxV2Bytes
  kBadTlv,       // version 2: a TLV that passes the end
  kBadChecksum,  // version 2: a CRC32c TLV that does not fit the header
};
std::string_view to_string(Error error);

struct Header {
  std::uint8_t version = 0;
  bool local = false;     // LOCAL or UNKNOWN: the balancer's own (a health check); use the socket's
  bool datagram = false;  // UDP over either IP version
  bool tls = false;       // the client spoke TLS to the balancer (PP2_TYPE_SSL)
  // Empty for LOCAL, UNKNOWN, unspecified and Unix addresses: use the socket's.
  Endpoint source;
  Endpoint destination;
  std::size_t consumed = 0;
};

// Give all bytes from the connection's first one each time. kComplete: `out.consumed` bytes were
// the header. kInvalid: `error` says why; close without an answer.
ParseStatus parse(ByteView in, Header& out, Error& error);

// Appends a header that names `source` as client. Endpoints of two families go out as IPv6, empty
// ones as UNKNOWN (version 1) or LOCAL (version 2).
void write_v1(std::vector<std::uint8_t>& out, const Endpoint& source, const Endpoint& destination);
enum class Transport : std::uint8_t { kStream = 1, kDatagram = 2 };
void write_v2(std::vector<std::uint8_t>& out, const Endpoint& source, const Endpoint& destination,
              Transport transport = Transport::kStream);

}  // namespace weir::proxy_protocol
