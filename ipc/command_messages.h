// What the operator wants of the whole instance, as the control worker tells the master, and what
// has become of it. The rules that all messages keep: ipc/messages.h.
#pragma once

#include <cstdint>

#include "ipc/message.h"

namespace weir::ipc {

// Answered by CommandNews when it is done: a reload
// or upgrade takes its time, and the others are under way when the answer comes.
enum class MasterAction : std::uint8_t {
  kReload,
  kUpgrade,
  kReopen,
  kQuit,
  kStop,
  kDrain,  // balancers are told to send nobody; all else goes on
  kUndrain
};
struct MasterCommand {
  static constexpr auto kType = MessageType::kMasterCommand;
  MessageHeader header;
  MasterAction action = MasterAction::kReload;
  std::uint8_t reserved[3] = {};
};

enum class CommandResult : std::uint8_t { kMore, kDone, kFailed };
// What became of a MasterCommand, for people; a long text comes in several, all but the last kMore.
struct CommandNews {
  static constexpr auto kType = MessageType::kCommandNews;
  MessageHeader header;
  CommandResult result = CommandResult::kDone;
  std::uint8_t reserved[7] = {};
  Tail<254> text;
};

}  // namespace weir::ipc
