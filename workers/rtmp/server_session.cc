#include "workers/rtmp/server_session.h"

#include <algorithm>
#include <array>

namespace weir::rtmp {
namespace {

// Chunk streams of our own answers: 2 is prescribed for control messages, 3 is what origins use for
// answers, so a client's decoder ends up where an origin would have put it.
constexpr std::uint32_t kCommandCsid = 3;
constexpr std::uint32_t kStatusCsid = 5;
constexpr std::uint32_t kControlCsid = 2;
constexpr std::uint32_t kWindowBytes = 2'500'000;
constexpr std::uint8_t kDynamicBandwidth = 2;
// Announced before the answer to connect, so that it is one chunk: some clients take no more there.
constexpr std::uint32_t kChunkSize = 4096;
constexpr std::size_t kStreamsPerClient = 16;  // createStream before publish or play
constexpr std::size_t kTextMax = 1024;         // of texts that are kept for logs only

}  // namespace

ServerHalf::ServerHalf(const HandshakeCrypto& crypto, const SessionLimits& session_limits,
                       ClientView& view)
    : limits_(session_limits),
      view_(view),
      client_handshake_(std::make_unique<ServerHandshake>(crypto)),
      parser_(session_limits.parser()) {
  parser_.collect(kCommandBits);
}

void ServerHalf::fail(Failure why, std::string_view detail) {
  failure_ = why;
  detail_ = detail;
}

void ServerHalf::feed(ByteView in) {
  if (client_handshake_) {
    const ParseStatus status = client_handshake_->feed(in, view_.out);
    if (status == ParseStatus::kInvalid) return fail(Failure::kBadHandshake);
    if (status == ParseStatus::kNeedMore) return;
    client_handshake_.reset();
  }
  preamble_.insert(preamble_.end(), in.begin(), in.end());
  if (!named_) parse(in);
}

// Up to publish or play; what follows is kept unparsed.
void ServerHalf::parse(ByteView in) {
  ChunkEvent event;
  while (!named_ && failure_ == Failure::kNone) {
    const ParseStatus status = parser_.next(in, event);
    if (status == ParseStatus::kNeedMore) return;
    if (status == ParseStatus::kInvalid) return fail(failure_of(parser_.error(), false));
    if (parser_.emitted() > limits_.preamble_bytes) return fail(Failure::kPreambleLimit);
    if (event.stream_id_at != 0 && event.state.stream_id != 0) {
      stream_use_at_ = std::min(stream_use_at_, static_cast<std::size_t>(event.offset));
    }
    if (event.message_end && is_command(event.state.type)) on_command(event);
  }
}

void ServerHalf::on_command(const ChunkEvent& event) {
  Command command;
  if (!parse_command(event.message, event.state.type, command)) return fail(Failure::kBadAmf);
  if (++commands_ > limits_.commands) return fail(Failure::kCommandsLimit);
  if (connected_ == (command.kind == CommandKind::kConnect)) {
    return fail(Failure::kUnsupportedCommandOrder, connected_ ? "second connect" : "no connect");
  }
  switch (command.kind) {
    case CommandKind::kConnect:
      connect_end_ = static_cast<std::size_t>(parser_.emitted());
      return answer_connect(command);
    case CommandKind::kCreateStream:
      create_end_ = static_cast<std::size_t>(parser_.emitted());
      return answer(command);
    case CommandKind::kReleaseStream:
    case CommandKind::kFcPublish:
      note_publisher(command);
      return answer(command);
    case CommandKind::kPublish:
    case CommandKind::kPlay:
      return name_stream(command, event);
    case CommandKind::kPlay2:
      return fail(Failure::kUnsupportedCommandOrder, "play2 without play");
    case CommandKind::kFcUnpublish:
      note_publisher(command);
      break;
    case CommandKind::kFcSubscribe:
    case CommandKind::kDeleteStream:
    case CommandKind::kCloseStream:
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
  // The origin gets it in the replay, and its answer passes.
  if (command.transaction != 0) asked_.push_back({command.kind, command.transaction, false});
}

// SRS publishes by the name that these have, not by that of publish.
void ServerHalf::note_publisher(const Command& command) {
  if (command.stream.data() == nullptr) return;
  if (!publishes_) publish_name_ = command.stream;
  publishes_ = true;
  names_differ_ = names_differ_ || command.stream != publish_name_;
}

void ServerHalf::tell(ByteView payload) {
  view_.write(kCommandCsid, kCommandAmf0, 0, payload);
}

void ServerHalf::answer_connect(const Command& command) {
  connected_ = true;
  wanted_.app = command.app;
  wanted_.tc_url = command.tc_url;
  wanted_.flash_ver = command.flash_ver.substr(0, kTextMax);
  wanted_.page_url = command.page_url.substr(0, kTextMax);
  std::array<std::uint8_t, 6> bytes{};
  store_be32(bytes.data(), kWindowBytes);
  view_.write(kControlCsid, kWindowAckSize, 0, ByteView(bytes).first(4));
  bytes[4] = kDynamicBandwidth;
  view_.write(kControlCsid, kSetPeerBandwidth, 0, ByteView(bytes).first(5));
  view_.set_chunk_size(kChunkSize);
  // StreamBegin of stream 0
  view_.write(kControlCsid, kUserControl, 0, std::array<std::uint8_t, 6>{});
  Bytes payload;
  write_connect_result(payload, command.transaction, command.object_encoding);
  tell(payload);
  asked_.push_back({command.kind, command.transaction, true});
}

void ServerHalf::answer(const Command& command) {
  Bytes payload;
  if (command.kind == CommandKind::kCreateStream) {
    if (++streams_made_ > kStreamsPerClient) return fail(Failure::kCommandsLimit);
    write_create_stream_result(payload, command.transaction, kStreamId);
  } else {
    write_empty_result(payload, command.transaction);
  }
  tell(payload);
  asked_.push_back({command.kind, command.transaction, true});
}

void ServerHalf::name_stream(const Command& command, const ChunkEvent& event) {
  naming_at_ = static_cast<std::size_t>(event.message_offset);
  status_stream_ = event.state.stream_id;
  named_ = true;
  wanted_.role = command.kind == CommandKind::kPublish ? Role::kPublisher : Role::kPlayer;
  wanted_.stream = command.stream;
  if (std::max(connect_end_, create_end_) > naming_at_) {
    return fail(Failure::kUnsupportedCommandOrder, "a command ends within publish or play");
  }
  // SRS would take such a client for a publisher of what these commands named.
  if (wanted_.role == Role::kPlayer && publishes_) {
    return fail(Failure::kUnsupportedCommandOrder, "play after a publisher's commands");
  }
  address_ = route::rtmp_address(wanted_.tc_url, wanted_.app, wanted_.stream);
  wanted_.key = address_.key;
  if (wanted_.key.ok()) return;
  const std::string_view why = route::to_string(wanted_.key.error);
  say_no({}, why);
  fail(Failure::kBadStreamKey, why);
}

bool ServerHalf::as_sent() const {
  return address_.tc_url == wanted_.tc_url && address_.app == wanted_.app &&
         address_.stream == wanted_.stream && !names_differ_ &&
         (!publishes_ || publish_name_ == wanted_.stream);
}

void ServerHalf::say_no(std::string_view code, std::string_view description) {
  if (!connected_) return;
  if (code.empty()) {
    code = !named_                            ? "NetConnection.Connect.Rejected"
           : wanted_.role == Role::kPublisher ? "NetStream.Publish.Denied"
                                              : "NetStream.Play.StreamNotFound";
  }
  Bytes payload;
  write_on_status(payload, "error", code, description);
  view_.write(kStatusCsid, kCommandAmf0, status_stream_, payload);
}

void ServerHalf::drop_preamble() {
  Bytes().swap(preamble_);
  std::vector<Asked>().swap(asked_);
}

std::size_t ServerHalf::buffered_bytes() const {
  return preamble_.capacity() + asked_.capacity() * sizeof(Asked) + parser_.collected_bytes() +
         parser_.streams().capacity() * sizeof(ChunkParser::Stream);
}

}  // namespace weir::rtmp
