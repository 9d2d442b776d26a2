#include "ipc/shm_layout.h"

namespace weir::ipc {

std::string_view to_string(WorkerKind kind) {
  switch (kind) {
    case WorkerKind::kControl:
      return "control";
    case WorkerKind::kRtmp:
      return "rtmp";
    case WorkerKind::kHttp:
      return "http";
    case WorkerKind::kRtc:
      return "rtc";
    case WorkerKind::kSrt:
      return "srt";
  }
  return "unknown";
}

std::string_view to_string(WorkerState state) {
  switch (state) {
    case WorkerState::kGone:
      return "gone";
    case WorkerState::kStarting:
      return "starting";
    case WorkerState::kReady:
      return "ready";
    case WorkerState::kDraining:
      return "draining";
  }
  return "unknown";
}

std::string_view state_text(const OriginRecord& origin) {
  if (origin.state == OriginState::kFree) return "free";
  if (origin.state == OriginState::kDead) return "dead";
  if (origin.is_unresolved()) return "unresolved";
  if (origin.has(EndpointKind::kRtmp)) {
    return origin.is_ejected(EndpointKind::kRtmp) ? "ejected" : "up";
  }
  bool probed = false;
  for (std::size_t i = 0; i < kEndpointKinds; ++i) {
    const auto kind = static_cast<EndpointKind>(i);
    if (!origin.has(kind) || !can_be_probed(kind)) continue;
    if (!origin.is_ejected(kind)) return "up";
    probed = true;
  }
  return probed ? "ejected" : "up";
}

std::string_view to_string(EndpointKind kind) {
  switch (kind) {
    case EndpointKind::kRtmp:
      return "rtmp";
    case EndpointKind::kHttp:
      return "http";
    case EndpointKind::kApi:
      return "api";
    case EndpointKind::kSrt:
      return "srt";
    case EndpointKind::kRtc:
      return "rtc";
  }
  return "unknown";
}

std::string_view to_string(Role role) {
  switch (role) {
    case Role::kPlayer:
      return "player";
    case Role::kPublisher:
      return "publisher";
  }
  return "unknown";
}

}  // namespace weir::ipc
