#include "ipc/saved_state.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <string_view>

#include "common/base/hash.h"
#include "ipc/message.h"

namespace weir::ipc {
namespace {

// As its byte says: of another value than 0 and 1 a bool must not even be read.
bool is_whole(const bool* flag) {
  std::uint8_t byte = 0;
  std::memcpy(&byte, flag, 1);
  return byte <= 1;
}

template <std::size_t kSize>
bool is_text(const char (&text)[kSize]) {
  const char* const end = std::find(text, text + kSize, '\0');
  return end != text + kSize && std::all_of(text, end, [](char c) {
           return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F;
         });
}

bool is_endpoint(const Endpoint& endpoint, const HostNames& hosts) {
  if (endpoint.scheme > Scheme::kTls || endpoint.port == 0) return false;
  return endpoint.is_numeric() ||
         (endpoint.family == Family::kName && !hosts.at(endpoint.ip[0]).empty());
}

bool is_empty_or_address(const Endpoint& endpoint) {
  return endpoint.empty() || endpoint.is_numeric();
}

// A host's, by which nothing is dialled that an endpoint does not say.
bool are_addresses(const OriginRecord& record) {
  return is_empty_or_address(record.ip) &&
         std::all_of(std::begin(record.addresses), std::end(record.addresses), is_empty_or_address);
}

}  // namespace

Result<void> check_saved(const StateView& state, const std::string& boot_id, std::uint64_t now_ms,
                         std::uint64_t max_age_ms) {
  const StateHeader& header = state.header();
  if (header.origin_capacity > limits::kMaxOrigins ||
      header.stream_capacity > limits::kMaxStreams) {
    return fail("its tables are larger than any of this program");
  }
  if (text_of(header.boot_id) != boot_id) return fail("it is from before the machine's last start");
  const std::uint64_t beat_ms = header.heartbeat_ms.load(std::memory_order_relaxed);
  if (beat_ms > now_ms || now_ms - beat_ms > max_age_ms) return fail("it was left too long ago");
  return {};
}

bool plausible(const OriginRecord& record) {
  for (const bool* flag : {&record.is_static, &record.draining, &record.send_client_ip,
                           &record.unproven, &record.drain_configured}) {
    if (!is_whole(flag)) return false;
  }
  if (record.state != OriginState::kUp && record.state != OriginState::kDead) return false;
  if (record.naming > Naming::kLeft || text_of(record.name).empty()) return false;
  if (record.weight > limits::kOriginWeight) return false;
  for (const auto* text : {&record.name, &record.server, &record.service, &record.pid,
                           &record.device_id, &record.tls_name}) {
    if (!is_text(*text)) return false;
  }
  std::size_t endpoints = 0;
  for (std::size_t kind = 0; kind < kEndpointKinds; ++kind) {
    const std::size_t count = record.endpoint_count[kind];
    if (count > limits::kEndpointsPerKind) return false;
    endpoints += count;
    for (std::size_t i = 0; i < count; ++i) {
      if (!is_endpoint(record.endpoints[kind][i], record.hosts)) return false;
    }
  }
  if (!are_addresses(record)) return false;
  return endpoints > 0 || record.hosts.count() > 0;
}

bool read_saved_stream(const StateView& state, std::uint32_t slot, StreamRecord& out) {
  if (!state.read_stream(slot, out)) return false;
  KeyTail key;
  key.assign(out.key_text());
  return is_stream_key(key) && keyed_hash(state.header().seed, out.key_text()) == out.hash;
}

}  // namespace weir::ipc
