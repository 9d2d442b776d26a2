#include "ipc/flow_file.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <unordered_set>

#include "ipc/flow_reader.h"

namespace weir::ipc {
namespace {

bool valid_ufrag(std::string_view text) {
  return text.size() >= limits::kIceUfragMin && text.size() <= limits::kIceUfragMax;
}
// Some implementations use more than the ice-chars of the RFC; what moves a terminal is never
// right.
bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

bool empty_or_whole(const Endpoint& e) {
  return e.empty() || (e.is_numeric() && e.port != 0);
}

bool plausible_enums(const FlowRecord& r) {
  return (r.kind == FlowKind::kRtc || r.kind == FlowKind::kSrt) &&
         (r.state == FlowState::kSignalled || r.state == FlowState::kConnected) &&
         (r.transport == FlowTransport::kUdp || r.transport == FlowTransport::kTcp) &&
         (r.role == Role::kPlayer || r.role == Role::kPublisher);
}

bool plausible_texts(const FlowRecord& r) {
  if (!r.text.valid()) return false;
  const std::string_view key = r.get(FlowField::kKey);
  if (key.empty() || key.size() > limits::kStreamKeyBytes) return false;
  if (r.get(FlowField::kResource).size() > limits::kFlowResourceBytes) return false;
  if (r.get(FlowField::kParam).size() > limits::kFlowParamBytes) return false;
  const bool second =
      !r.get(FlowField::kSecondUsername).empty() || !r.get(FlowField::kSecondPassword).empty();
  if (r.kind == FlowKind::kSrt) {
    return !second && r.get(FlowField::kUsername).empty() && r.get(FlowField::kPassword).empty();
  }
  return valid_credentials(r.get(FlowField::kUsername), r.get(FlowField::kPassword)) &&
         (!second ||
          valid_credentials(r.get(FlowField::kSecondUsername), r.get(FlowField::kSecondPassword)));
}

}  // namespace

bool valid_credentials(std::string_view username, std::string_view password) {
  const std::size_t colon = username.find(':');
  return colon != std::string_view::npos && valid_ufrag(username.substr(0, colon)) &&
         valid_ufrag(username.substr(colon + 1)) && printable(username) &&
         password.size() >= limits::kIcePasswordMin && password.size() <= limits::kIcePasswordMax &&
         printable(password);
}

Result<FlowFile> FlowFile::lock(const std::string& path) {
  FlowFile file(path);
  const std::string name = path + ".lock";
  file.lock_.reset(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.lock_) return fail_errno("cannot open " + name, errno);
  if (::flock(file.lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail_errno("cannot lock " + name, errno);
  }
  return file;
}

FlowFile FlowFile::inherit(const std::string& path, UniqueFd lock) {
  FlowFile file(path);
  file.lock_ = std::move(lock);
  return file;
}

bool plausible(const FlowRecord& r, std::uint64_t now_ms) {
  if (!plausible_enums(r) || !plausible_texts(r)) return false;
  if (r.session == 0 || r.group == 0 || r.generation == 0) return false;
  if (r.created_ms > now_ms || r.activity_ms > now_ms || r.stun_ms > now_ms) return false;
  if (!r.origin_endpoint.is_numeric() || r.origin_endpoint.port == 0) return false;
  if (!r.signaller.is_numeric() || !empty_or_whole(r.client) || !empty_or_whole(r.local) ||
      !empty_or_whole(r.upstream_local)) {
    return false;
  }
  if (r.state == FlowState::kSignalled) return r.client.empty() && r.upstream_local.empty();
  return r.upstream_local.family == r.origin_endpoint.family &&
         (r.client.empty() || r.client.family == r.local.family);
}

Result<SavedFlows> read_flows(ByteView file, const std::string& boot_id, std::uint64_t now_ms,
                              std::uint64_t max_age_ms) {
  if (file.size() < sizeof(FlowHeader)) return fail("it is too small");
  // A mapping begins at a page, so it is aligned for the header and, as consistent() checks, for
  // the tables.
  const auto& header = *reinterpret_cast<const FlowHeader*>(file.data());
  if (header.magic != kFlowMagic) return fail("it is not a session file of Weir");
  if (header.version != kFlowVersion) {
    return fail("it has layout version " + std::to_string(header.version));
  }
  if (!consistent(header, file.size())) return fail("its header is inconsistent");
  if (text_of(header.boot_id) != boot_id) return fail("it is from before the machine's last start");
  const std::uint64_t beat_ms = header.heartbeat_ms.load(std::memory_order_relaxed);
  if (beat_ms > now_ms || now_ms - beat_ms > max_age_ms) {
    return fail("its sessions were left too long ago");
  }
  SavedFlows saved;
  std::unordered_set<SessionId> sessions;
  const auto* slots = reinterpret_cast<const FlowSlot*>(file.data() + header.flows_offset);
  const std::uint32_t slots_used =
      std::min(header.capacity, header.mark.load(std::memory_order_relaxed));
  for (std::uint32_t slot = 0; slot < slots_used; ++slot) {
    FlowRecord record;
    if (!slots[slot].read(record) || record.state == FlowState::kFree) continue;
    if (!plausible(record, now_ms) || !sessions.insert(record.session).second) {
      ++saved.bad;
      continue;
    }
    saved.flows.push_back({slot, record});
  }
  return saved;
}

}  // namespace weir::ipc
