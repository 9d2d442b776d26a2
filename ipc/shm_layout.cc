#include "ipc/shm_layout.h"

#include <iterator>

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

std::string_view to_string(LearnMode mode) {
  static constexpr std::string_view kNames[] = {"auto", "srs", "nginx_rtmp", "off"};
  const auto at = static_cast<std::size_t>(mode);
  return at < std::size(kNames) ? kNames[at] : "unknown";
}

std::string_view to_string(LearnApi api) {
  static constexpr std::string_view kNames[] = {"none", "srs", "nginx_rtmp"};
  const auto at = static_cast<std::size_t>(api);
  return at < std::size(kNames) ? kNames[at] : "unknown";
}

std::string_view to_string(LearnState state) {
  static constexpr std::string_view kNames[] = {"unknown", "fresh", "failing"};
  const auto at = static_cast<std::size_t>(state);
  return at < std::size(kNames) ? kNames[at] : "unknown";
}

std::string_view to_string(VideoCodec codec) {
  static constexpr std::string_view kNames[] = {"",    "other", "h264", "hevc",
                                                "av1", "vp8",   "vp9",  "h263"};
  const auto at = static_cast<std::size_t>(codec);
  return at < std::size(kNames) ? kNames[at] : "other";
}

std::string_view to_string(AudioCodec codec) {
  static constexpr std::string_view kNames[] = {"", "other", "aac", "mp3", "opus", "speex", "pcm"};
  const auto at = static_cast<std::size_t>(codec);
  return at < std::size(kNames) ? kNames[at] : "other";
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
