#include "workers/rtmp/rtmp_session.h"

#include <algorithm>
#include <utility>

#include "common/proto/rtmp/chunk.h"
#include "common/proto/rtmp/chunk_bridge.h"
#include "common/proto/rtmp/command.h"

namespace weir::rtmp {
namespace {

using Bytes = std::vector<std::uint8_t>;

// Chunk streams of our own answers: 2 is prescribed for control messages, 3 is what origins use for
// answers, so a client's decoder ends up where an origin would have put it.
constexpr std::uint32_t kControlCsid = 2;
constexpr std::uint32_t kCommandCsid = 3;
constexpr std::uint32_t kStatusCsid = 5;
constexpr std::uint32_t kWindowBytes = 2'500'000;
constexpr std::uint8_t kDynamicBandwidth = 2;
constexpr std::size_t kStreamsPerClient = 16;  // createStream before publish or play
constexpr std::size_t kStreamIdHeaders = 256;  // fmt 0 headers within streams, until publish/play
constexpr std::size_t kTextMax = 1024;         // of texts that are kept for logs only
constexpr std::uint32_t kCommandBits = (1U << kCommandAmf0) | (1U << kCommandAmf3);

bool is_command(std::uint8_t type) {
  return type == kCommandAmf0 || type == kCommandAmf3;
}

bool is_media(std::uint8_t type) {
  return type == kAudio || type == kVideo || type == kAggregate;
}

void append(Bytes& out, ByteView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

template <typename Container>
void free_memory(Container& container) {
  Container().swap(container);
}

Failure client_failure(ChunkError error) {
  switch (error) {
    case ChunkError::kStreamsLimit:
      return Failure::kChunkStreamsLimit;
    case ChunkError::kMessageTooLarge:
      return Failure::kMessageTooLarge;
    case ChunkError::kNone:
    case ChunkError::kBadHeader:
    case ChunkError::kBadControl:
      break;
  }
  return Failure::kBadChunk;
}

Failure origin_failure(ChunkError error) {
  switch (error) {
    case ChunkError::kStreamsLimit:
      return Failure::kOriginChunkStreamsLimit;
    case ChunkError::kMessageTooLarge:
      return Failure::kOriginMessageTooLarge;
    case ChunkError::kNone:
    case ChunkError::kBadHeader:
    case ChunkError::kBadControl:
      break;
  }
  return Failure::kOriginBadChunk;
}

bool is_origins(Failure failure) {
  return failure >= Failure::kOriginBadHandshake && failure <= Failure::kOriginBadAmf;
}

ChunkParser::Limits parser_limits(const SessionLimits& limits) {
  return {std::min(limits.chunk_streams, limits::kRtmpChunkStreams),
          std::min(limits.command_bytes, limits::kRtmpCommandBytes)};
}

}  // namespace

struct Session::Impl {
  // A command of the client that was answered here; the origin's answer to it is dropped.
  struct Answered {
    CommandKind kind = CommandKind::kOther;
    double transaction = 0;
    std::uint32_t stream_id = 0;  // createStream: what the client was told
  };

  Impl(const HandshakeCrypto& c, const SessionLimits& l)
      : crypto(c),
        session_limits(l),
        client_handshake(std::make_unique<ServerHandshake>(c)),
        client(parser_limits(l)) {
    client.collect(kCommandBits);
  }

  void fail(Failure why, std::string_view why_detail = {});
  bool can_reset() const;
  void refuse(std::string_view code, std::string_view description);

  // Client's side.
  void client_bytes(ByteView in);
  void parse_preamble(ByteView in);
  void client_command(const ChunkEvent& event);
  void answer_connect(const Command& command);
  void answer_command(const Command& command);
  void name_stream(const Command& command, const ChunkEvent& event);
  void control(std::uint8_t type, ByteView payload);
  void tell_client(const Bytes& payload);
  void client_to_origin(ByteView in);
  void patch_to_origin(ByteView in);

  // Origin's side.
  void origin_bytes(ByteView in);
  void start_replay();
  void parse_origin(ByteView in);
  void origin_event(const ChunkEvent& event);
  bool drop_answer(const ChunkEvent& event);
  bool drop_result(std::size_t at, const Command& command);
  void note_status(const Command& command);
  void advance_replay();
  void replay_until(std::size_t end);
  void release_rest();
  void patch_preamble();
  void try_raw();
  bool awaits(CommandKind kind) const;
  // Origins answer in order: after the word on publish or play no older answer comes.
  bool filtering() const { return !(answered || refused); }

  HandshakeCrypto crypto;
  SessionLimits session_limits;
  State state = State::kHandshake;
  Failure failure = Failure::kNone;
  std::string detail;
  Bytes to_client;
  Bytes to_origin;

  std::unique_ptr<ServerHandshake> client_handshake;
  ChunkParser client;                     // of what the client sends
  Bytes preamble;                         // all that came after C2, until the replay is done
  std::size_t parsed = 0;                 // of the preamble: how much the parser has taken
  std::size_t hold_at = 0;                // of the preamble: where publish or play begins
  std::size_t connect_end = 0;            // of the preamble: the end of connect
  std::size_t replayed = 0;               // of the preamble: how much this origin has got
  std::size_t last_create_end = 0;        // of the preamble: the end of the last createStream
  std::vector<std::size_t> stream_id_at;  // of the preamble: message stream ids that are not 0
  std::vector<Answered> answered_here;
  std::size_t commands = 0;
  std::uint32_t streams_made = 0;
  std::uint32_t status_stream = 0;  // the message stream that publish or play was sent on
  bool connected = false;
  bool named = false;  // by publish or play
  RouteWanted wanted;

  std::unique_ptr<ClientHandshake> origin_handshake;
  std::unique_ptr<ChunkParser> origin;  // of what the origin sends
  ChunkBridge bridge;                   // keeps the client's view of the origin's chunk streams
  std::vector<Answered> expected;       // answers of this origin that are to be dropped
  std::vector<ChunkBridge::StreamIdPair> stream_ids;  // origin's and client's, of each createStream
  bool passed = false;                                // bytes of the origin have reached the client
  bool answered = false;
  bool media = false;
  bool refused = false;
  bool patching = false;
  bool origin_raw = false;
  bool can_recover = false;  // kFailed by the origin, and the replay is still whole
};

void Session::Impl::fail(Failure why, std::string_view why_detail) {
  // What this origin did wrong, another may do right.
  can_recover = is_origins(why) && can_reset();
  state = State::kFailed;
  failure = why;
  detail = why_detail;
  // The parsers stay: we may be called from within their events.
  if (!can_recover) free_memory(preamble);
}

bool Session::Impl::can_reset() const {
  if (state == State::kFailed) return can_recover;
  const bool before_answer =
      state == State::kRouteWanted || state == State::kOriginHandshake || state == State::kReplay;
  return before_answer && !passed;
}

void Session::Impl::refuse(std::string_view code, std::string_view description) {
  // Within bytes of the origin there may be no place for a message.
  if (connected && !passed) {
    if (code.empty()) {
      code = !named                            ? "NetConnection.Connect.Rejected"
             : wanted.role == Role::kPublisher ? "NetStream.Publish.Denied"
                                               : "NetStream.Play.StreamNotFound";
    }
    Bytes payload;
    write_on_status(payload, "error", code, description);
    bridge.write(to_client, kStatusCsid, kCommandAmf0, status_stream, payload, kDefaultChunkSize);
  }
  fail(Failure::kRefused, code);
}

// ---- the client's side

void Session::Impl::client_bytes(ByteView in) {
  if (state == State::kHandshake) {
    const ParseStatus status = client_handshake->feed(in, to_client);
    if (status == ParseStatus::kInvalid) return fail(Failure::kBadHandshake);
    if (status == ParseStatus::kNeedMore) return;
    client_handshake.reset();
    state = State::kCommands;
  }
  if (in.empty()) return;
  switch (state) {
    case State::kCommands:
      return parse_preamble(in);
    case State::kRouteWanted:
    case State::kOriginHandshake:
    case State::kReplay:
      return append(preamble, in);
    case State::kAnswers:
    case State::kRelay:
      return client_to_origin(in);
    case State::kHandshake:
    case State::kFailed:
      return;
  }
}

// Parses up to publish or play; what follows is kept unparsed.
void Session::Impl::parse_preamble(ByteView in) {
  const std::size_t base = preamble.size();
  append(preamble, in);
  const std::size_t size = in.size();
  ChunkEvent event;
  while (state == State::kCommands) {
    const ParseStatus status = client.next(in, event);
    if (status == ParseStatus::kNeedMore) return;
    if (status == ParseStatus::kInvalid) return fail(client_failure(client.error()));
    parsed = base + (size - in.size());
    if (client.emitted() > session_limits.preamble_bytes) return fail(Failure::kPreambleLimit);
    if (event.stream_id_at != 0 && event.state.stream_id != 0) {
      if (stream_id_at.size() >= kStreamIdHeaders) return fail(Failure::kCommandsLimit);
      stream_id_at.push_back(static_cast<std::size_t>(event.offset) + event.stream_id_at);
    }
    if (event.message_end && is_command(event.state.type)) client_command(event);
  }
}

void Session::Impl::client_command(const ChunkEvent& event) {
  Command command;
  if (!parse_command(event.message, event.state.type, command)) return fail(Failure::kBadAmf);
  if (++commands > session_limits.commands) return fail(Failure::kCommandsLimit);
  if (connected == (command.kind == CommandKind::kConnect)) {
    return fail(Failure::kUnsupportedCommandOrder, connected ? "second connect" : "no connect");
  }
  switch (command.kind) {
    case CommandKind::kConnect:
      connect_end = static_cast<std::size_t>(client.emitted());
      return answer_connect(command);
    case CommandKind::kCreateStream:
      last_create_end = static_cast<std::size_t>(client.emitted());
      return answer_command(command);
    case CommandKind::kReleaseStream:
    case CommandKind::kFcPublish:
      return answer_command(command);
    case CommandKind::kPublish:
    case CommandKind::kPlay:
      return name_stream(command, event);
    case CommandKind::kFcUnpublish:
    case CommandKind::kFcSubscribe:
    case CommandKind::kDeleteStream:
    case CommandKind::kCloseStream:
    case CommandKind::kGetStreamLength:
    case CommandKind::kPlay2:
    case CommandKind::kResult:
    case CommandKind::kError:
    case CommandKind::kOnStatus:
    case CommandKind::kOnFcPublish:
    case CommandKind::kOther:
      return;  // the origin gets them in the replay; its answers pass
  }
}

void Session::Impl::control(std::uint8_t type, ByteView payload) {
  bridge.write(to_client, kControlCsid, type, 0, payload, kDefaultChunkSize);
}

void Session::Impl::tell_client(const Bytes& payload) {
  bridge.write(to_client, kCommandCsid, kCommandAmf0, 0, payload, kDefaultChunkSize);
}

void Session::Impl::answer_connect(const Command& command) {
  connected = true;
  wanted.app = command.app;
  wanted.tc_url = command.tc_url;
  wanted.flash_ver = command.flash_ver.substr(0, kTextMax);
  wanted.page_url = command.page_url.substr(0, kTextMax);
  std::array<std::uint8_t, 6> bytes{};
  store_be32(bytes.data(), kWindowBytes);
  control(kWindowAckSize, ByteView(bytes).first(4));
  bytes[4] = kDynamicBandwidth;
  control(kSetPeerBandwidth, ByteView(bytes).first(5));
  control(kUserControl, std::array<std::uint8_t, 6>{});  // StreamBegin of stream 0
  Bytes payload;
  write_connect_result(payload, command.transaction, command.object_encoding);
  tell_client(payload);
  answered_here.push_back({command.kind, command.transaction, 0});
}

void Session::Impl::answer_command(const Command& command) {
  Bytes payload;
  Answered done{command.kind, command.transaction, 0};
  if (command.kind == CommandKind::kCreateStream) {
    if (streams_made >= kStreamsPerClient) return fail(Failure::kCommandsLimit);
    done.stream_id = ++streams_made;
    write_create_stream_result(payload, command.transaction, done.stream_id);
  } else {
    if (command.transaction == 0) return;  // the client wants no answer
    write_empty_result(payload, command.transaction);
  }
  tell_client(payload);
  answered_here.push_back(done);
}

void Session::Impl::name_stream(const Command& command, const ChunkEvent& event) {
  hold_at = static_cast<std::size_t>(event.message_offset);
  status_stream = event.state.stream_id;
  named = true;
  if (std::max(connect_end, last_create_end) > hold_at) {
    return fail(Failure::kUnsupportedCommandOrder, "a command ends within publish or play");
  }
  wanted.role = command.kind == CommandKind::kPublish ? Role::kPublisher : Role::kPlayer;
  wanted.stream = command.stream;
  wanted.key = route::from_rtmp(wanted.tc_url, wanted.app, wanted.stream);
  if (!wanted.key.ok()) {
    const std::string_view why = route::to_string(wanted.key.error);
    refuse({}, why);
    return fail(Failure::kBadStreamKey, why);
  }
  state = State::kRouteWanted;
}

// After the replay: verbatim, unless stream ids have to be changed.
void Session::Impl::client_to_origin(ByteView in) {
  if (patching) return patch_to_origin(in);
  append(to_origin, in);
}

void Session::Impl::patch_to_origin(ByteView in) {
  ChunkEvent event;
  for (;;) {
    const ParseStatus status = client.next(in, event);
    if (status == ParseStatus::kNeedMore) return;
    if (status == ParseStatus::kInvalid) return fail(client_failure(client.error()));
    const std::size_t at = to_origin.size();
    append(to_origin, event.bytes);
    if (event.stream_id_at == 0) continue;
    for (const ChunkBridge::StreamIdPair& pair : stream_ids) {
      if (pair.receiver != event.state.stream_id) continue;
      store_le32(to_origin.data() + at + event.stream_id_at, pair.sender);
      break;
    }
  }
}

// ---- the origin's side

void Session::Impl::origin_bytes(ByteView in) {
  if (state == State::kOriginHandshake) {
    const ParseStatus status = origin_handshake->feed(in, to_origin);
    if (status == ParseStatus::kInvalid) return fail(Failure::kOriginBadHandshake);
    if (status == ParseStatus::kNeedMore) return;
    start_replay();
  }
  if (state == State::kFailed) return;
  parse_origin(in);
}

void Session::Impl::start_replay() {
  origin_handshake.reset();
  state = State::kReplay;
  replayed = 0;
  advance_replay();
}

// In the steps in which a client would go: origins that ask a third party about connect (nginx-rtmp
// with on_connect) lose what comes before their answer to it.
void Session::Impl::advance_replay() {
  if (state != State::kReplay) return;
  if (awaits(CommandKind::kConnect)) return replay_until(connect_end);
  replay_until(hold_at);
  if (!awaits(CommandKind::kCreateStream)) release_rest();
}

void Session::Impl::replay_until(std::size_t end) {
  append(to_origin, ByteView(preamble).subspan(replayed, end - replayed));
  replayed = end;
}

void Session::Impl::parse_origin(ByteView in) {
  ChunkEvent event;
  while (!origin_raw) {
    const ParseStatus status = origin->next(in, event);
    if (status == ParseStatus::kNeedMore) return;
    if (status == ParseStatus::kInvalid) return fail(origin_failure(origin->error()));
    origin_event(event);
    if (state == State::kFailed) return;
    if (event.message_end) try_raw();
  }
  origin.reset();
  append(to_client, in);
}

void Session::Impl::origin_event(const ChunkEvent& event) {
  const std::size_t before = to_client.size();
  const bool held = is_command(event.state.type) && event.collected;
  bridge.on_event(event, held, to_client);
  if (event.message_end) {
    if (held && !drop_answer(event) && state != State::kFailed) {
      bridge.pass_held(event, origin->chunk_size(), to_client);
    }
    if (is_media(event.state.type) && state >= State::kAnswers) answered = media = true;
    if (answered && state == State::kAnswers) state = State::kRelay;
    origin->collect(filtering() ? kCommandBits : 0);
  }
  if (to_client.size() > before) passed = true;
}

// Whether the client already has this answer. Takes note of what it says.
bool Session::Impl::drop_answer(const ChunkEvent& event) {
  Command command;
  // What we can't read is the client's to judge.
  if (!parse_command(event.message, event.state.type, command)) return false;
  if (command.kind == CommandKind::kOnStatus) {
    note_status(command);
    return false;
  }
  if (command.kind != CommandKind::kResult && command.kind != CommandKind::kError) return false;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (expected[i].transaction != command.transaction) continue;
    const CommandKind kind = expected[i].kind;
    if (command.kind == CommandKind::kResult) return drop_result(i, command);
    expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(i));
    if (kind != CommandKind::kConnect && kind != CommandKind::kCreateStream) return true;
    refused = true;
    return false;
  }
  return false;
}

bool Session::Impl::drop_result(std::size_t at, const Command& command) {
  const Answered answer = expected[at];
  expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(at));
  if (answer.kind == CommandKind::kConnect) advance_replay();
  if (answer.kind != CommandKind::kCreateStream) return true;
  // NaN fails both comparisons.
  if (!command.stream_id || !(*command.stream_id >= 1 && *command.stream_id <= 0xFFFFFFFF)) {
    fail(Failure::kOriginBadAmf, "createStream answered without a stream id");
    return true;
  }
  stream_ids.push_back({static_cast<std::uint32_t>(*command.stream_id), answer.stream_id});
  advance_replay();
  return true;
}

void Session::Impl::note_status(const Command& command) {
  // NetConnection messages (a request to reconnect) don't answer publish or play.
  if (state < State::kAnswers || command.code.starts_with("NetConnection.")) return;
  if (command.level == "error") {
    refused = true;
  } else {
    answered = true;
  }
}

bool Session::Impl::awaits(CommandKind kind) const {
  return std::any_of(expected.begin(), expected.end(),
                     [kind](const Answered& answer) { return answer.kind == kind; });
}

// Sends publish or play and all that came after it. From here on there is no way back to another
// origin: this one has shown that it lives, and the kept bytes are freed.
void Session::Impl::release_rest() {
  patching = std::any_of(stream_ids.begin(), stream_ids.end(),
                         [](const auto& pair) { return pair.sender != pair.receiver; });
  if (patching) {
    const auto early = [this](std::size_t at) { return at < hold_at; };
    if (std::any_of(stream_id_at.begin(), stream_id_at.end(), early)) {
      return fail(Failure::kUnsupportedCommandOrder, "stream used before publish or play");
    }
  }
  state = State::kAnswers;
  const ByteView kept(preamble);
  if (!patching) {
    append(to_origin, kept.subspan(hold_at));
    client = ChunkParser();
  } else {
    patch_preamble();
    append(to_origin, kept.subspan(hold_at, static_cast<std::size_t>(client.emitted()) - hold_at));
    client.collect(0);
    for (const ChunkBridge::StreamIdPair& pair : stream_ids) bridge.map_stream_id(pair);
    patch_to_origin(kept.subspan(parsed));
  }
  free_memory(preamble);
  free_memory(stream_id_at);
  free_memory(answered_here);
}

void Session::Impl::patch_preamble() {
  for (const std::size_t at : stream_id_at) {
    const std::uint32_t told = load_le32(preamble.data() + at);
    for (const ChunkBridge::StreamIdPair& pair : stream_ids) {
      if (pair.receiver == told) store_le32(preamble.data() + at, pair.sender);
    }
  }
}

// The origin's bytes may pass unparsed from a message boundary on, once its word on publish or play
// has passed and the client's decoder reads every chunk stream as the origin means it.
void Session::Impl::try_raw() {
  if (patching || !(answered || refused) || state < State::kAnswers || !origin->at_boundary()) {
    return;
  }
  origin_raw = bridge.agrees(*origin) || bridge.sync(*origin, to_client);
}

// ---- the interface

Session::Session(const HandshakeCrypto& crypto, const SessionLimits& session_limits)
    : impl_(std::make_unique<Impl>(crypto, session_limits)) {}
Session::~Session() = default;

void Session::on_client_bytes(ByteView bytes) {
  if (state() != State::kFailed) impl_->client_bytes(bytes);
}

void Session::on_origin_connected(const ClientHandshakeOptions& options) {
  if (state() != State::kRouteWanted) return;
  impl_->origin_handshake = std::make_unique<ClientHandshake>(impl_->crypto, options);
  impl_->origin = std::make_unique<ChunkParser>(parser_limits(impl_->session_limits));
  impl_->origin->collect(kCommandBits);
  impl_->expected = impl_->answered_here;
  impl_->origin_handshake->start(impl_->to_origin);
  impl_->state = State::kOriginHandshake;
}

void Session::on_origin_bytes(ByteView bytes) {
  if (state() < State::kOriginHandshake || state() == State::kFailed) return;
  if (impl_->origin_raw) {
    append(impl_->to_client, bytes);
    return;
  }
  impl_->origin_bytes(bytes);
}

bool Session::can_reset() const {
  return impl_->can_reset();
}

void Session::reset_origin() {
  if (!can_reset()) return;
  impl_->origin_handshake.reset();
  impl_->origin.reset();
  impl_->expected.clear();
  impl_->stream_ids.clear();
  impl_->bridge.forget_sender();
  impl_->to_origin.clear();
  impl_->refused = false;
  impl_->can_recover = false;
  impl_->failure = Failure::kNone;
  impl_->detail.clear();
  impl_->state = State::kRouteWanted;
}

void Session::refuse(std::string_view code, std::string_view description) {
  if (state() != State::kFailed) impl_->refuse(code, description);
}

std::vector<std::uint8_t>& Session::to_client() {
  return impl_->to_client;
}
std::vector<std::uint8_t>& Session::to_origin() {
  return impl_->to_origin;
}
State Session::state() const {
  return impl_->state;
}
Failure Session::failure() const {
  return impl_->failure;
}
std::string_view Session::failure_detail() const {
  return impl_->detail;
}
const RouteWanted& Session::wanted() const {
  return impl_->wanted;
}
bool Session::origin_raw() const {
  return impl_->origin_raw;
}
bool Session::origin_answered() const {
  return impl_->answered;
}
bool Session::media_passed() const {
  return impl_->media;
}
bool Session::origin_refused() const {
  return impl_->refused;
}
bool Session::patching() const {
  return impl_->patching;
}

bool Session::want_client_bytes() const {
  return state() != State::kFailed && impl_->preamble.size() < impl_->session_limits.preamble_bytes;
}

bool Session::client_raw() const {
  return (state() == State::kAnswers || state() == State::kRelay) && !impl_->patching;
}

std::size_t Session::buffered_bytes() const {
  std::size_t sum = sizeof(Impl) + impl_->preamble.capacity() + impl_->to_client.capacity() +
                    impl_->to_origin.capacity() + impl_->bridge.buffered_bytes();
  for (const ChunkParser* parser :
       {&std::as_const(impl_->client), static_cast<const ChunkParser*>(impl_->origin.get())}) {
    if (parser == nullptr) continue;
    sum += parser->collected_bytes() + parser->streams().capacity() * sizeof(ChunkParser::Stream);
  }
  return sum;
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
