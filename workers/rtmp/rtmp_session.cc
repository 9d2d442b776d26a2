#include "workers/rtmp/rtmp_session.h"

namespace weir::rtmp {
namespace {

constexpr std::size_t kHeldMax = 16 * 1024;  // of an origin's words

}  // namespace

Session::Session(const HandshakeCrypto& crypto, const SessionLimits& session_limits)
    : crypto_(crypto), limits_(session_limits), server_(crypto, session_limits, view_) {}

void Session::on_client_bytes(ByteView bytes) {
  if (state() == State::kFailed) return;
  const bool released = replay_ && replay_->released();
  if (!released || holds_) server_.feed(bytes);  // for another origin, too
  if (released) replay_->feed_client(bytes);
}

void Session::on_origin_connected(const ClientHandshakeOptions& options) {
  if (state() != State::kRouteWanted) return;
  if (holds_) {
    before_ = view_;
    view_.out.clear();
  }
  replay_ = std::make_unique<ReplayHalf>(crypto_, options, limits_, server_, view_);
}

void Session::on_origin_bytes(ByteView bytes) {
  if (!replay_ || state() == State::kFailed) return;
  replay_->feed_origin(bytes);
  const ReplayHalf::Word said = word();
  const bool too_much = said == ReplayHalf::Word::kNone && view_.out.size() > kHeldMax;
  if (holds_ && (said == ReplayHalf::Word::kYes || too_much)) pass_on();
  if (replay_->released() && !holds_) server_.drop_preamble();
  // It has taken the client's words and answered with nonsense: nobody else is asked.
  const bool final = is_origins(replay_->failure()) && !can_reset();
  if (final && replay_->at_client_boundary()) {
    server_.say_no({}, to_string(replay_->failure()));
  }
}

bool Session::can_reset() const {
  if (refused_ || server_.failure() != Failure::kNone || !server_.named()) return false;
  return !replay_ || holds_ || replay_->state() == ReplayHalf::State::kHandshake;
}

void Session::reset_origin() {
  if (!can_reset()) return;
  replay_.reset();
  to_origin_.clear();
  if (!before_) return;
  view_ = std::move(*before_);
  before_.reset();
}

void Session::pass_on() {
  holds_ = false;
  if (replay_ && replay_->released()) server_.drop_preamble();
  if (!before_) return;
  before_->out.insert(before_->out.end(), view_.out.begin(), view_.out.end());
  view_.out = std::move(before_->out);
  before_.reset();
}

void Session::refuse(std::string_view code, std::string_view description) {
  if (holds_ && replay_) reset_origin();
  if (state() == State::kFailed) return;
  // Within bytes of the origin there may be no place for a message.
  if (!replay_ || replay_->at_client_boundary()) server_.say_no(code, description);
  refused_ = true;
  refusal_ = code;
}

State Session::state() const {
  if (failure() != Failure::kNone) return State::kFailed;
  if (!server_.greeted()) return State::kHandshake;
  if (!server_.named()) return State::kCommands;
  if (!replay_) return State::kRouteWanted;
  switch (replay_->state()) {
    case ReplayHalf::State::kHandshake:
      return State::kOriginHandshake;
    case ReplayHalf::State::kReplay:
      return State::kReplay;
    case ReplayHalf::State::kAnswers:
      return State::kAnswers;
    case ReplayHalf::State::kRelay:
      break;
  }
  return State::kRelay;
}

Failure Session::failure() const {
  if (server_.failure() != Failure::kNone) return server_.failure();
  if (replay_ && replay_->failure() != Failure::kNone) return replay_->failure();
  return refused_ ? Failure::kRefused : Failure::kNone;
}

std::string_view Session::failure_detail() const {
  if (server_.failure() != Failure::kNone) return server_.failure_detail();
  if (replay_ && replay_->failure() != Failure::kNone) return replay_->failure_detail();
  return refusal_;
}

bool Session::want_client_bytes() const {
  return state() != State::kFailed && server_.preamble().size() < limits_.preamble_bytes;
}

std::size_t Session::buffered_bytes() const {
  const std::size_t before =
      before_ ? before_->out.capacity() + before_->bridge.buffered_bytes() : 0;
  return sizeof(*this) + before + view_.out.capacity() + view_.bridge.buffered_bytes() +
         server_.buffered_bytes() + to_origin_.capacity() +
         (replay_ ? replay_->buffered_bytes() : 0);
}

std::string_view to_string(State state) {
  switch (state) {
    case State::kHandshake:
      return "handshake";
    case State::kCommands:
      return "commands";
    case State::kRouteWanted:
      return "route_wanted";
    case State::kOriginHandshake:
      return "origin_handshake";
    case State::kReplay:
      return "replay";
    case State::kAnswers:
      return "answers";
    case State::kRelay:
      return "relay";
    case State::kFailed:
      return "failed";
  }
  return "unknown";
}

void ClientView::set_chunk_size(std::uint32_t size) {
  std::uint8_t bytes[4];
  store_be32(bytes, size);
  write(2, kSetChunkSize, 0, bytes);
  chunk_size = size;
}

bool is_origins(Failure failure) {
  return failure >= Failure::kOriginBadHandshake && failure <= Failure::kOriginBadAmf;
}

Failure failure_of(ChunkError error, bool of_origin) {
  switch (error) {
    case ChunkError::kStreamsLimit:
      return of_origin ? Failure::kOriginChunkStreamsLimit : Failure::kChunkStreamsLimit;
    case ChunkError::kMessageTooLarge:
      return of_origin ? Failure::kOriginMessageTooLarge : Failure::kMessageTooLarge;
    case ChunkError::kNone:
    case ChunkError::kBadHeader:
    case ChunkError::kBadControl:
      break;
  }
  return of_origin ? Failure::kOriginBadChunk : Failure::kBadChunk;
}

std::string_view to_string(Failure failure) {
  switch (failure) {
    case Failure::kNone:
      return "none";
    case Failure::kBadHandshake:
      return "bad_handshake";
    case Failure::kBadChunk:
      return "bad_chunk";
    case Failure::kChunkStreamsLimit:
      return "chunk_streams_limit";
    case Failure::kMessageTooLarge:
      return "message_too_large";
    case Failure::kBadAmf:
      return "bad_amf";
    case Failure::kPreambleLimit:
      return "preamble_limit";
    case Failure::kCommandsLimit:
      return "commands_limit";
    case Failure::kBadStreamKey:
      return "bad_stream_key";
    case Failure::kUnsupportedCommandOrder:
      return "unsupported_command_order";
    case Failure::kStreamLeft:
      return "stream_left";
    case Failure::kOriginBadHandshake:
      return "origin_bad_handshake";
    case Failure::kOriginBadChunk:
      return "origin_bad_chunk";
    case Failure::kOriginChunkStreamsLimit:
      return "origin_chunk_streams_limit";
    case Failure::kOriginMessageTooLarge:
      return "origin_message_too_large";
    case Failure::kOriginBadAmf:
      return "origin_bad_amf";
    case Failure::kRefused:
      return "refused";
  }
  return "unknown";
}

}  // namespace weir::rtmp
