// What the halves of an RTMP session (rtmp_session.h) have in common. Pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/proto/rtmp/chunk.h"
#include "common/proto/rtmp/chunk_bridge.h"
#include "common/proto/rtmp/command.h"
#include "common/route/rtmp_address.h"

namespace weir::rtmp {

using Bytes = std::vector<std::uint8_t>;

inline constexpr std::uint32_t kCommandBits = (1U << kCommandAmf0) | (1U << kCommandAmf3);

inline bool is_command(std::uint8_t type) {
  return type == kCommandAmf0 || type == kCommandAmf3;
}
inline bool is_media(std::uint8_t type) {
  return type == kAudio || type == kVideo || type == kAggregate;
}

enum class Failure : std::uint8_t {
  kNone,
  kBadHandshake,
  kBadChunk,
  kChunkStreamsLimit,
  kMessageTooLarge,
  kBadAmf,
  kPreambleLimit,
  kCommandsLimit,
  kBadStreamKey,
  kUnsupportedCommandOrder,
  kStreamLeft,          // the client left its stream for another one; it may connect again
  kOriginBadHandshake,  // this one to kOriginBadAmf: the origin's fault
  kOriginBadChunk,
  kOriginChunkStreamsLimit,
  kOriginMessageTooLarge,
  kOriginBadAmf,  // an answer that the replay waits for makes no sense
  kRefused,       // refuse() was called
};
std::string_view to_string(Failure failure);  // snake_case, for logs and metric labels
bool is_origins(Failure failure);
// What a parser's error means, by whose bytes it read.
Failure failure_of(ChunkError error, bool of_origin);

enum class Role : std::uint8_t { kPublisher, kPlayer };

// What publish or play asked for. Texts are as the client sent them (with queries): log them
// escaped.
struct RouteWanted {
  Role role = Role::kPlayer;
  route::StreamKey key;
  std::string tc_url;
  std::string flash_ver;  // this and page_url are for logs only, and cut
  std::string page_url;
  std::string app;
  std::string stream;
};

// May be set lower than the ceilings in limits.h, not higher.
struct SessionLimits {
  std::size_t preamble_bytes = limits::kRtmpPreambleBytes;
  std::size_t command_bytes = limits::kRtmpCommandBytes;
  std::size_t chunk_streams = limits::kRtmpChunkStreams;
  std::size_t commands = 64;  // messages that we answer or skip before publish/play

  ChunkParser::Limits parser() const {
    return {std::min(chunk_streams, limits::kRtmpChunkStreams),
            std::min(command_bytes, limits::kRtmpCommandBytes)};
  }
};

// The way to the client: what waits for its socket, and what its decoder knows by then. Both halves
// write to it.
struct ClientView {
  Bytes out;
  ChunkBridge bridge;
  std::uint32_t chunk_size = kDefaultChunkSize;  // of what the client reads

  void write(std::uint32_t csid, std::uint8_t type, std::uint32_t stream_id, ByteView payload) {
    bridge.write(out, csid, type, stream_id, payload, chunk_size);
  }
  void set_chunk_size(std::uint32_t size);
};

}  // namespace weir::rtmp
