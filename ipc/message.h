// What all messages between workers and the master have in common: a header, a text at the end that
// travels only as far as it is used, and how they become bytes. The messages: ipc/messages.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string_view>
#include <type_traits>

#include "common/base/bytes.h"
#include "common/base/limits.h"

namespace weir::ipc {

enum class MessageType : std::uint16_t {
  // worker -> master
  kReady = 1,
  kRouteRequest,
  kSessionOpen,
  kSessionClose,
  kDialResult,
  kProbeResult,
  kOriginRegister,
  kOriginCommand,
  kOriginAddress,
  kStreamLearned,
  kStreamUnlearned,
  kOriginLearn,
  kStreamFound,
  kNamedAddresses,
  kMasterCommand,
  kFlowCreate = 32,  // ipc/flow_messages.h
  kFlowCredentials,
  kFlowClaim,
  kFlowStats,
  kFlowEnd,
  // master -> worker
  kRouteAnswer = 64,
  kReply,
  kDrain,
  kQuit,
  kReopenLog,
  kSessionEnd,
  kProbeNow,
  kCommandNews,
  kServe = 96,  // ipc/flow_messages.h
  kFlowCreated,
  kFlowAssign,
  kFlowRelease,
  kFlowEnded,
  kFlowAbandoned,
};

struct MessageHeader {
  MessageType type{};
  std::uint16_t size = 0;     // of the whole message
  std::uint32_t request = 0;  // chosen by the asker, repeated in the answer
};

// A text at the end of a message; only the used part travels.
template <std::size_t N>
struct Tail {
  std::uint16_t length = 0;
  char text[N] = {};
  std::string_view view() const { return {text, length}; }
  // Cuts what does not fit.
  void assign(std::string_view value) {
    length = static_cast<std::uint16_t>(value.size() < N ? value.size() : N);
    std::memcpy(text, value.data(), length);
  }
};
using KeyTail = Tail<512>;
// Whether it can name a stream.
inline bool is_stream_key(const KeyTail& key) {
  return key.length > 0 && key.length <= limits::kStreamKeyBytes;
}

// The bytes of a message as they travel. Sets header.type and header.size. Valid while `message`
// is.
template <typename M>
ByteView encode(M& message) {
  static_assert(std::is_trivially_copyable_v<M> && sizeof(M) <= limits::kIpcMessageBytes);
  static_assert(std::has_unique_object_representations_v<M>,
                "padding would carry what the sender's stack held; name it, as reserved bytes");
  std::size_t size = sizeof(M);
  if constexpr (requires { message.key.length; }) {
    size = offsetof(M, key) + offsetof(KeyTail, text) + message.key.length;
  } else if constexpr (requires { message.text.length; }) {
    size = offsetof(M, text) + offsetof(Tail<254>, text) + message.text.length;
  } else if constexpr (requires { message.row_count; }) {
    size = offsetof(M, rows) + message.row_count * sizeof message.rows[0];
  }
  message.header.type = M::kType;
  message.header.size = static_cast<std::uint16_t>(size);
  return {reinterpret_cast<const std::uint8_t*>(&message), size};  // trivially copyable: bytes
}

// False when the bytes are not exactly one message of this type.
template <typename M>
bool decode(ByteView bytes, M& out) {
  static_assert(std::is_trivially_copyable_v<M>);
  std::size_t fixed = sizeof(M);
  if constexpr (requires { out.key.length; }) {
    fixed = offsetof(M, key) + offsetof(KeyTail, text);
  } else if constexpr (requires { out.text.length; }) {
    fixed = offsetof(M, text) + offsetof(Tail<254>, text);
  } else if constexpr (requires { out.row_count; }) {
    fixed = offsetof(M, rows);
  }
  if (bytes.size() < fixed || bytes.size() > sizeof(M)) return false;
  out = M{};
  std::memcpy(static_cast<void*>(&out), bytes.data(), bytes.size());
  if (out.header.type != M::kType || out.header.size != bytes.size()) return false;
  if constexpr (requires { out.key.length; }) {
    return out.key.length == bytes.size() - fixed;
  } else if constexpr (requires { out.text.length; }) {
    return out.text.length == bytes.size() - fixed;
  } else if constexpr (requires { out.row_count; }) {
    return out.row_count <= std::size(out.rows) &&
           out.row_count * sizeof out.rows[0] == bytes.size() - fixed;
  }
  return true;
}

}  // namespace weir::ipc
