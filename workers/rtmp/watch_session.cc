#include "workers/rtmp/watch_session.h"

#include <utility>

namespace weir::rtmp {

bool leaves_stream(const Command& asked, const RouteWanted& wanted, bool started) {
  const bool plays = wanted.role == Role::kPlayer;
  switch (asked.kind) {
    case CommandKind::kPlay:
      return !plays || asked.stream != wanted.stream;
    case CommandKind::kPublish:
      return plays || asked.stream != wanted.stream;
    case CommandKind::kReleaseStream:
    case CommandKind::kFcPublish:
    case CommandKind::kFcUnpublish:
      return plays || (asked.stream.data() != nullptr && asked.stream != wanted.stream);
    case CommandKind::kPlay2:
    case CommandKind::kConnect:
      return true;
    case CommandKind::kDeleteStream:
    case CommandKind::kCloseStream:
      return plays && started;
    case CommandKind::kFcSubscribe:
    case CommandKind::kCreateStream:
    case CommandKind::kGetStreamLength:
    case CommandKind::kResult:
    case CommandKind::kError:
    case CommandKind::kOnStatus:
    case CommandKind::kOnFcPublish:
    case CommandKind::kOnFcUnpublish:
    case CommandKind::kOnBwDone:
    case CommandKind::kOther:
      break;
  }
  return false;
}

bool ends_stream(const Command& said) {
  if (said.kind == CommandKind::kOnFcUnpublish) return true;
  if (said.kind != CommandKind::kOnStatus) return false;
  return said.code.starts_with("NetStream.Unpublish.") || said.code == "NetStream.Publish.Start" ||
         (said.level == "error" && said.code.starts_with("NetStream.Publish."));
}

StreamWatch::StreamWatch(ChunkParser&& parser, bool player)
    : parser_(std::move(parser)), player_(player) {
  parser_.collect(kCommandBits);
}

StreamWatch StreamWatch::of_player(ChunkParser&& parser, const RouteWanted& wanted) {
  StreamWatch watch(std::move(parser), true);
  watch.wanted_.role = wanted.role;
  watch.wanted_.stream = wanted.stream;
  return watch;
}

StreamWatch StreamWatch::of_publisher(ChunkParser&& parser) {
  return {std::move(parser), false};
}

bool StreamWatch::feed(ByteView in) {
  ChunkEvent event;
  while (failure_ == Failure::kNone) {
    const ParseStatus status = parser_.next(in, event);
    if (status == ParseStatus::kNeedMore) return true;
    if (status == ParseStatus::kInvalid) {
      failure_ = failure_of(parser_.error(), !player_);
      break;
    }
    if (!event.message_end || !event.collected || !is_command(event.state.type)) continue;
    Command command;
    static_cast<void>(parse_command(event.message, event.state.type, command));
    const bool over = player_ ? leaves_stream(command, wanted_, true) : ends_stream(command);
    if (over) failure_ = Failure::kStreamLeft;
    if (player_ && command.name.empty()) failure_ = Failure::kBadAmf;
  }
  return false;
}

}  // namespace weir::rtmp
