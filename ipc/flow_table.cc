#include "ipc/flow_table.h"

#include <cstring>

namespace weir::ipc {

std::string_view to_string(FlowKind kind) {
  switch (kind) {
    case FlowKind::kRtc:
      return "rtc";
    case FlowKind::kSrt:
      return "srt";
  }
  return "unknown";
}

std::string_view to_string(FlowState state) {
  switch (state) {
    case FlowState::kFree:
      return "free";
    case FlowState::kSignalled:
      return "signalled";
    case FlowState::kConnected:
      return "connected";
  }
  return "unknown";
}

std::string_view to_string(FlowTransport transport) {
  switch (transport) {
    case FlowTransport::kUdp:
      return "udp";
    case FlowTransport::kTcp:
      return "tcp";
  }
  return "unknown";
}

std::size_t FlowText::used() const {
  std::size_t sum = 0;
  for (const std::uint16_t each : length) sum += each;
  return sum;
}

std::string_view FlowText::get(FlowField field) const {
  std::size_t at = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(field); ++i) at += length[i];
  return {bytes + at, length[static_cast<std::size_t>(field)]};
}

bool FlowText::set(FlowField field, std::string_view value) {
  const auto index = static_cast<std::size_t>(field);
  const std::size_t before = used();
  if (before > sizeof bytes || before - length[index] + value.size() > sizeof bytes) return false;
  std::size_t at = 0;
  for (std::size_t i = 0; i < index; ++i) at += length[i];
  const std::size_t old_end = at + length[index];
  // What stands behind moves; the value may be a view into this very store only if it stays put.
  std::memmove(bytes + at + value.size(), bytes + old_end, before - old_end);
  std::memcpy(bytes + at, value.data(), value.size());
  length[index] = static_cast<std::uint16_t>(value.size());
  return true;
}

bool same_endpoint(const Endpoint& a, const Endpoint& b) {
  return a.port == b.port && a.same_address(b);
}

std::uint64_t client_hash(HashSeed seed, const Endpoint& client, std::uint32_t srt_id,
                          std::uint32_t which) {
  char key[24] = {};
  key[0] = static_cast<char>(client.family);
  key[1] = static_cast<char>(which);
  std::memcpy(key + 2, &client.port, sizeof client.port);
  std::memcpy(key + 4, client.ip, client.family == Family::kIpv4 ? 4 : sizeof client.ip);
  std::memcpy(key + 20, &srt_id, sizeof srt_id);
  return keyed_hash(seed, {key, sizeof key});
}

}  // namespace weir::ipc
