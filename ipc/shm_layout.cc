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

std::string_view to_string(OriginState state) {
  switch (state) {
    case OriginState::kFree:
      return "free";
    case OriginState::kUp:
      return "up";
    case OriginState::kEjected:
      return "ejected";
    case OriginState::kDead:
      return "dead";
  }
  return "unknown";
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
