#include "common/proto/proxy_protocol.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/base/network.h"

namespace weir::proxy_protocol {
namespace {

constexpr std::array<std::uint8_t, 12> kSignature = {0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D,
                                                     0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A};
constexpr std::string_view kV1Prefix = "PROXY ";
constexpr std::size_t kV2Head = 16;
constexpr std::size_t kV4Block = 12;
constexpr std::size_t kV6Block = 36;
constexpr std::size_t kUnixBlock = 216;
constexpr std::uint8_t kTlvChecksum = 0x03;  // PP2_TYPE_CRC32C
constexpr std::uint8_t kTlvTls = 0x20;       // PP2_TYPE_SSL
constexpr std::size_t kTlvTlsBytes = 5;      // flags and the result of a verification
constexpr std::uint8_t kClientTls = 0x01;    // PP2_CLIENT_SSL

ParseStatus invalid(Error& error, Error what) {
  error = what;
  return ParseStatus::kInvalid;
}

// ---- version 1

bool next_word(std::string_view& line, std::string_view& word) {
  const std::size_t space = line.find(' ');
  word = line.substr(0, space);
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return !word.empty();
}

bool parse_v1_port(std::string_view text, std::uint16_t& port) {
  if (text.size() > 1 && text.front() == '0') return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size();
}

// What stands between `PROXY TCP4 ` and the line end.
bool parse_v1_addresses(std::string_view rest, Family family, Header& out) {
  std::string_view source, destination, source_port, destination_port;
  if (!next_word(rest, source) || !next_word(rest, destination) || !next_word(rest, source_port)) {
    return false;
  }
  destination_port = rest;
  if (source.front() == '[' || destination.front() == '[') return false;
  const auto from = parse_ip(source);
  const auto to = parse_ip(destination);
  if (!from || !to || from->family != family || to->family != family) return false;
  out.source = *from;
  out.destination = *to;
  return parse_v1_port(source_port, out.source.port) &&
         parse_v1_port(destination_port, out.destination.port);
}

ParseStatus parse_v1(std::string_view in, Header& out, Error& error) {
  const std::string_view seen = in.substr(0, kMaxV1Bytes);
  const std::size_t lf = seen.find('\n');
  if (lf == std::string_view::npos) {
    if (seen.size() == kMaxV1Bytes) return invalid(error, Error::kTooLong);
    return ParseStatus::kNeedMore;
  }
  if (seen[lf - 1] != '\r') return invalid(error, Error::kBadLine);
  std::string_view line = seen.substr(kV1Prefix.size(), lf - 1 - kV1Prefix.size());
  std::string_view protocol;
  next_word(line, protocol);
  out.version = 1;
  out.consumed = lf + 1;
  if (protocol == "UNKNOWN") {
    out.local = true;
    return ParseStatus::kComplete;
  }
  const bool v4 = protocol == "TCP4";
  if ((!v4 && protocol != "TCP6") ||
      !parse_v1_addresses(line, v4 ? Family::kIpv4 : Family::kIpv6, out)) {
    return invalid(error, Error::kBadLine);
  }
  out.source = unmapped(out.source);
  out.destination = unmapped(out.destination);
  return ParseStatus::kComplete;
}

// ---- version 2

Endpoint read_address(const std::uint8_t* ip, std::size_t size, const std::uint8_t* port) {
  Endpoint endpoint;
  endpoint.family = size == 4 ? Family::kIpv4 : Family::kIpv6;
  std::copy_n(ip, size, endpoint.ip);
  endpoint.port = load_be16(port);
  return unmapped(endpoint);
}

// CRC-32C (RFC 3720, appendix B.4) of a header whose checksum, at `at`, counts as zero.
std::uint32_t crc32c(ByteView header, std::size_t at) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (i < at || i >= at + 4) crc ^= header[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82F63B78U : 0U);
  }
  return ~crc;
}

// Type-length-value records, which begin at `at`, must fill the rest of the header exactly.
Error read_tlvs(ByteView header, std::size_t at, Header& out) {
  while (at < header.size()) {
    const std::size_t left = header.size() - at;
    if (left < 3) return Error::kBadTlv;
    const std::size_t length = load_be16(header.data() + at + 1);
    if (3 + length > left) return Error::kBadTlv;
    if (header[at] == kTlvChecksum) {
      if (length != 4) return Error::kBadTlv;
      if (crc32c(header, at + 3) != load_be32(header.data() + at + 3)) return Error::kBadChecksum;
    }
    if (header[at] == kTlvTls) {
      if (length < kTlvTlsBytes) return Error::kBadTlv;
      out.tls = (header[at + 3] & kClientTls) != 0;
    }
    at += 3 + length;
  }
  return Error::kNone;
}

ParseStatus parse_v2_addresses(ByteView header, Header& out, Error& error) {
  static constexpr std::array<std::size_t, 4> kBlocks = {0, kV4Block, kV6Block, kUnixBlock};
  const std::size_t kind = header[13] >> 4U;
  const std::size_t transport = header[13] & 15U;
  const ByteView block = header.subspan(kV2Head);
  if (kind >= kBlocks.size() || transport > 2) return invalid(error, Error::kBadFamily);
  // Either half unspecified: nothing is known of the addresses, and of what the block holds.
  if (kind == 0 || transport == 0) return ParseStatus::kComplete;
  if (block.size() < kBlocks[kind]) return invalid(error, Error::kTooShort);
  const Error fault = read_tlvs(header, kV2Head + kBlocks[kind], out);
  if (fault != Error::kNone) return invalid(error, fault);
  out.datagram = transport == 2;
  if (kind == 3) return ParseStatus::kComplete;
  const std::size_t size = kind == 1 ? 4 : 16;
  const std::uint8_t* p = block.data();
  out.source = read_address(p, size, p + 2 * size);
  out.destination = read_address(p + size, size, p + 2 * size + 2);
  return ParseStatus::kComplete;
}

ParseStatus parse_v2(ByteView in, Header& out, Error& error) {
  if (in.size() < kV2Head) {
    if (in.size() > 12 && (in[12] >> 4U) != 2) return invalid(error, Error::kBadVersion);
    return ParseStatus::kNeedMore;
  }
  const unsigned command = in[12] & 15U;
  if ((in[12] >> 4U) != 2 || command > 1) return invalid(error, Error::kBadVersion);
  const std::size_t length = load_be16(in.data() + 14);
  if (kV2Head + length > kMaxV2Bytes) return invalid(error, Error::kTooLong);
  if (in.size() < kV2Head + length) return ParseStatus::kNeedMore;
  out.version = 2;
  out.consumed = kV2Head + length;
  out.local = command == 0;
  // A LOCAL header's family and addresses must be ignored.
  if (out.local) return ParseStatus::kComplete;
  return parse_v2_addresses(in.first(kV2Head + length), out, error);
}

// ---- writing

Endpoint mapped(const Endpoint& endpoint) {
  if (endpoint.family != Family::kIpv4) return endpoint;
  Endpoint v6;
  v6.family = Family::kIpv6;
  v6.port = endpoint.port;
  v6.ip[10] = v6.ip[11] = 0xFF;
  std::copy_n(endpoint.ip, 4, v6.ip + 12);
  return v6;
}

void append(std::vector<std::uint8_t>& out, ByteView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void append_be16(std::vector<std::uint8_t>& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8U));
  out.push_back(static_cast<std::uint8_t>(value));
}

}  // namespace

std::string_view to_string(Error error) {
  static constexpr std::array<std::string_view, 9> kNames = {
      "none",      "no-proxy-header", "bad-proxy-line", "bad-proxy-version", "bad-family",
      "too-short", "too-long",        "bad-tlv",        "bad-checksum"};
  return kNames[static_cast<std::size_t>(error)];
}

ParseStatus parse(ByteView in, Header& out, Error& error) {
  out = Header{};
  error = Error::kNone;
  if (in.empty()) return ParseStatus::kNeedMore;
  const std::string_view text = as_text(in);
  const std::size_t v1 = std::min(text.size(), kV1Prefix.size());
  if (text.substr(0, v1) == kV1Prefix.substr(0, v1)) {
    return v1 < kV1Prefix.size() ? ParseStatus::kNeedMore : parse_v1(text, out, error);
  }
  const std::size_t v2 = std::min(in.size(), kSignature.size());
  if (std::equal(kSignature.begin(), kSignature.begin() + static_cast<std::ptrdiff_t>(v2),
                 in.begin())) {
    return v2 < kSignature.size() ? ParseStatus::kNeedMore : parse_v2(in, out, error);
  }
  return invalid(error, Error::kNoHeader);
}

void write_v1(std::vector<std::uint8_t>& out, const Endpoint& source, const Endpoint& destination) {
  if (source.empty() || destination.empty()) return append(out, as_bytes("PROXY UNKNOWN\r\n"));
  const bool v4 = source.family == Family::kIpv4 && destination.family == Family::kIpv4;
  const Endpoint from = v4 ? source : mapped(source);
  const Endpoint to = v4 ? destination : mapped(destination);
  const std::string line = std::string(v4 ? "PROXY TCP4 " : "PROXY TCP6 ") + ip_to_string(from) +
                           " " + ip_to_string(to) + " " + std::to_string(from.port) + " " +
                           std::to_string(to.port) + "\r\n";
  append(out, as_bytes(line));
}

void write_v2(std::vector<std::uint8_t>& out, const Endpoint& source, const Endpoint& destination,
              Transport transport) {
  append(out, kSignature);
  if (source.empty() || destination.empty()) {
    const std::array<std::uint8_t, 4> local = {0x20, 0, 0, 0};
    return append(out, local);
  }
  const bool v4 = source.family == Family::kIpv4 && destination.family == Family::kIpv4;
  const Endpoint from = v4 ? source : mapped(source);
  const Endpoint to = v4 ? destination : mapped(destination);
  out.push_back(0x21);
  out.push_back(static_cast<std::uint8_t>((v4 ? 0x10 : 0x20) | static_cast<int>(transport)));
  append_be16(out, v4 ? kV4Block : kV6Block);
  const std::size_t size = v4 ? 4 : 16;
  append(out, ByteView(from.ip, size));
  append(out, ByteView(to.ip, size));
  append_be16(out, from.port);
  append_be16(out, to.port);
}

}  // namespace weir::proxy_protocol
