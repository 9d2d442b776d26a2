#include "workers/rtmp/replay_session.h"

#include <algorithm>
#include <utility>

namespace weir::rtmp {
namespace {

void append(Bytes& out, ByteView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// Of an onStatus that is no error: whether it is the answer to publish or play.
bool begins_stream(std::string_view code) {
  return !code.starts_with("NetStream.Unpublish.") && code != "NetStream.Play.Stop";
}

// Of an onStatus that is an error. Others speak of this client, or of its words.
bool denies_stream(std::string_view code) {
  return code == "NetStream.Play.StreamNotFound" || code == "NetStream.Play.Failed" ||
         code == "NetStream.Play.FileNotFound";
}

// Commands whose name some origin goes by.
bool names_stream(CommandKind kind) {
  return kind == CommandKind::kPublish || kind == CommandKind::kPlay ||
         kind == CommandKind::kReleaseStream || kind == CommandKind::kFcPublish ||
         kind == CommandKind::kFcUnpublish;
}

}  // namespace

ReplayHalf::ReplayHalf(const HandshakeCrypto& crypto, const ClientHandshakeOptions& options,
                       const SessionLimits& session_limits, ServerHalf& server, ClientView& view)
    : server_(server),
      view_(view),
      origin_handshake_(std::make_unique<ClientHandshake>(crypto, options)),
      client_(session_limits.parser()),
      rewrites_(!server.as_sent()),
      origin_(session_limits.parser()),
      asked_(server.asked()) {
  client_.collect(kCommandBits);
  origin_.collect(kCommandBits);
  origin_handshake_->start(to_origin_);
}

void ReplayHalf::fail(Failure why, std::string_view detail) {
  failure_ = why;
  detail_ = detail;
  to_origin_.clear();
}

// ---- client -> origin

void ReplayHalf::feed_client(ByteView in) {
  if (released()) pass_up(in);
}

// In the steps in which a client would go: origins that ask a third party about connect (nginx-rtmp
// with on_connect) lose what comes before their answer to it.
void ReplayHalf::advance() {
  if (state_ != State::kReplay) return;
  if (awaits(CommandKind::kConnect)) return replay_until(server_.connect_end());
  replay_until(server_.naming_at());
  if (!awaits(CommandKind::kCreateStream) && failure_ == Failure::kNone) release();
}

// SRS takes what follows the last slash for the name of the stream, also of one in a query.
void ReplayHalf::note_srs(ByteView answer) {
  constexpr std::string_view kSign = "srs_server";
  const route::RtmpAddress& address = server_.address();
  srs_ = as_text(answer).find(kSign) != std::string_view::npos;
  if (!srs_ || rewrites_ || address.stream_for_srs == address.stream) return;
  if (!client_.at_boundary()) {
    return fail(Failure::kUnsupportedCommandOrder, "a command begins within connect");
  }
  up_.assume(client_);
  rewrites_ = true;
}

void ReplayHalf::replay_until(std::size_t end) {
  const ByteView bytes = server_.preamble().subspan(replayed_, end - replayed_);
  replayed_ = end;
  pass_up(bytes);
}

// Sends publish or play and all that came after it.
void ReplayHalf::release() {
  if (renumbers_ && server_.uses_stream_early()) {
    return fail(Failure::kUnsupportedCommandOrder, "stream used before publish or play");
  }
  state_ = State::kAnswers;
  if (renumbers_) {
    if (!rewrites_) up_.assume(client_);  // until here it got the client's own bytes
    up_.map_stream_id({ServerHalf::kStreamId, origin_stream_});
  }
  pass_up(server_.preamble().subspan(replayed_));
}

void ReplayHalf::pass_up(ByteView in) {
  const bool verbatim = !rewrites_ && !renumbers_;
  if (verbatim) append(to_origin_, in);
  if (client_raw() && server_.wanted().role == Role::kPublisher) return;
  ChunkEvent event;
  while (failure_ == Failure::kNone) {
    const ParseStatus status = client_.next(in, event);
    if (status == ParseStatus::kNeedMore) return;
    if (status == ParseStatus::kInvalid) return fail(failure_of(client_.error(), false));
    const bool command = is_command(event.state.type) && event.collected;
    const bool held = command && rewrites_;
    if (!verbatim) up_.on_event(event, held, to_origin_);
    if (command && event.message_end) on_client_command(event, held);
  }
}

void ReplayHalf::on_client_command(const ChunkEvent& event, bool held) {
  Command command;
  static_cast<void>(parse_command(event.message, event.state.type, command));
  if (released()) judge(command);
  if (command.kind == CommandKind::kPlay) word_ = Word::kNone;  // perhaps not for the first time
  if (!held || failure_ != Failure::kNone) return;
  const Bytes payload = rewritten(command, event.message);
  up_.pass_changed(event, payload, client_.chunk_size(), to_origin_);
}

// What was named is what was judged, so nothing else goes on. The same again is the origin's to
// answer: a publisher that was refused may ask once more.
void ReplayHalf::judge(const Command& command) {
  if (command.name.empty()) return fail(Failure::kBadAmf, "a command without a name");
  if (leaves_stream(command, server_.wanted(), answered_)) return fail(Failure::kStreamLeft);
  const bool again = renumbers_ && command.kind == CommandKind::kCreateStream;
  if (again) fail(Failure::kStreamLeft, "another message stream");
}

Bytes ReplayHalf::rewritten(const Command& command, ByteView payload) {
  const route::RtmpAddress& address = server_.address();
  std::vector<TextEdit> edits;
  if (command.kind == CommandKind::kConnect) {
    edits = {{command.tc_url, address.tc_url}, {command.app, address.app}};
  } else if (names_stream(command.kind)) {
    edits = {{command.stream, srs_ ? address.stream_for_srs : address.stream}};
  }
  Bytes out;
  if (!replace_texts(payload, std::move(edits), out)) {
    fail(Failure::kBadStreamKey, "a text is too long");
  }
  return out;
}

bool ReplayHalf::client_raw() const {
  if (!released() || renumbers_ || rewrites_ || failure_ != Failure::kNone) return false;
  return server_.wanted().role == Role::kPlayer || answered_;
}

// ---- origin -> client

void ReplayHalf::feed_origin(ByteView in) {
  if (state_ == State::kHandshake) {
    const ParseStatus status = origin_handshake_->feed(in, to_origin_);
    if (status == ParseStatus::kInvalid) return fail(Failure::kOriginBadHandshake);
    if (status == ParseStatus::kNeedMore) return;
    origin_handshake_.reset();
    state_ = State::kReplay;
    advance();
  }
  if (failure_ != Failure::kNone) return;
  if (origin_raw_) return pass_down_raw(in);
  parse_origin(in);
}

void ReplayHalf::parse_origin(ByteView in) {
  ChunkEvent event;
  while (!origin_raw_) {
    const ParseStatus status = origin_.next(in, event);
    if (status == ParseStatus::kNeedMore) return;
    if (status == ParseStatus::kInvalid) return fail(failure_of(origin_.error(), true));
    on_origin_event(event);
    if (failure_ != Failure::kNone) return;
    if (event.message_end) try_raw();
  }
  pass_down_raw(in);
}

// As it is; of a publisher's origin the words are still looked at.
void ReplayHalf::pass_down_raw(ByteView in) {
  append(view_.out, in);
  if (server_.wanted().role == Role::kPlayer) {
    media_ = media_ || !in.empty();
    return;
  }
  ChunkEvent event;
  for (;;) {
    const ParseStatus status = origin_.next(in, event);
    if (status == ParseStatus::kNeedMore) return;
    if (status == ParseStatus::kInvalid) return fail(failure_of(origin_.error(), true));
    Command command;
    const bool over = event.message_end && event.collected && is_command(event.state.type) &&
                      parse_command(event.message, event.state.type, command) &&
                      ends_stream(command);
    if (over) return fail(Failure::kStreamLeft);
  }
}

void ReplayHalf::on_origin_event(const ChunkEvent& event) {
  const std::size_t before = view_.out.size();
  const bool held = is_command(event.state.type) && event.collected;
  // Chunks pass as they were cut. Once the sizes are one, they change together. Until connect is
  // answered what fits into one chunk anyway goes without: servers announce their own size before
  // that answer, and a client that mirrors each size (ffmpeg) would shrink its chunks and enlarge
  // them at once, over which nginx-rtmp loses bytes.
  const auto match_chunk_size = [this, &event] {
    if (view_.chunk_size == origin_.chunk_size()) return;
    const bool one_chunk = event.state.length <= std::min(view_.chunk_size, origin_.chunk_size());
    if (one_chunk && awaits(CommandKind::kConnect)) return;
    view_.set_chunk_size(origin_.chunk_size());
  };
  if (event.message_begin && !held) match_chunk_size();
  view_.bridge.on_event(event, held, view_.out);
  if (event.message_end) {
    if (event.state.type == kSetChunkSize) view_.chunk_size = origin_.chunk_size();
    if (held && !drops(event) && !is_origins(failure_)) {
      match_chunk_size();
      view_.bridge.pass_held(event, origin_.chunk_size(), view_.out);
    }
    if (is_media(event.state.type) && released()) {
      answered_ = media_ = true;
      note(Word::kYes);
    }
    if (answered_ && state_ == State::kAnswers) state_ = State::kRelay;
    const bool done = answered_ && server_.wanted().role == Role::kPlayer;
    origin_.collect(done ? 0 : kCommandBits);
  }
  if (view_.out.size() > before) passed_ = true;
}

// Whether the client has this already, or can do without. Takes note of what it says.
bool ReplayHalf::drops(const ChunkEvent& event) {
  Command command;
  // What we can't read is the client's to judge.
  if (!parse_command(event.message, event.state.type, command)) return false;
  if (answered_) {
    if (server_.wanted().role == Role::kPublisher && ends_stream(command)) {
      fail(Failure::kStreamLeft);
    }
    return false;
  }
  if (command.kind == CommandKind::kOnStatus) on_status(command);
  if (is_out_of_place(command)) return true;
  const bool answer = command.kind == CommandKind::kResult || command.kind == CommandKind::kError;
  if (answer && awaits(CommandKind::kConnect)) note_srs(event.message);
  return answer && failure_ == Failure::kNone && drops_answer(command);
}

// onBWDone and the like belong behind the answer to connect, which the client has had long ago. No
// server says them to one that waits for the answer to play: an SRS edge dies of it.
bool ReplayHalf::is_out_of_place(const Command& command) const {
  if (command.kind == CommandKind::kOnBwDone) return true;
  return state_ == State::kReplay && command.kind == CommandKind::kOther && command.name != "close";
}

// Which of the commands this answers. Origins don't agree on ids (SRS answers connect with 1,
// whatever it was asked with), and clients use one for several commands; so what an answer looks
// like counts as well, and the order. asked_.size(): none.
std::size_t ReplayHalf::find_asked(const Command& command) const {
  const auto first = [this](const auto& fits) {
    return static_cast<std::size_t>(std::find_if(asked_.begin(), asked_.end(), fits) -
                                    asked_.begin());
  };
  const auto creates = [](const Asked& a) { return a.kind == CommandKind::kCreateStream; };
  const auto same = [&](const Asked& a) { return a.transaction == command.transaction; };
  const std::size_t none = asked_.size();
  // Nothing else has been sent before the answer to connect.
  if (awaits(CommandKind::kConnect)) {
    return first([](const Asked& a) { return a.kind == CommandKind::kConnect; });
  }
  if (command.stream_id) {
    std::size_t at = first([&](const Asked& a) { return creates(a) && same(a); });
    if (at == none) at = first([&](const Asked& a) { return !a.told && same(a); });
    return at != none ? at : first(creates);
  }
  std::size_t at = first([&](const Asked& a) { return !creates(a) && same(a); });
  if (at == none) at = first(same);
  const bool lenient = at == none && command.kind == CommandKind::kResult;
  return lenient ? first([&](const Asked& a) { return a.told && !creates(a); }) : at;
}

bool ReplayHalf::drops_answer(const Command& command) {
  const std::size_t at = find_asked(command);
  if (at == asked_.size()) {
    // Play is not among what was asked: servers answer it with onStatus.
    if (released() && command.kind == CommandKind::kError) note(Word::kNo);
    return false;
  }
  const Asked asked = asked_[at];
  asked_.erase(asked_.begin() + static_cast<std::ptrdiff_t>(at));
  const bool no = command.kind == CommandKind::kError || command.level == "error";
  if (!no) return drops_result(asked, command);
  if (asked.kind != CommandKind::kConnect && asked.kind != CommandKind::kCreateStream) {
    return asked.told;
  }
  refused_ = true;
  note(Word::kElse);
  return false;
}

bool ReplayHalf::drops_result(const Asked& asked, const Command& command) {
  if (asked.kind == CommandKind::kConnect) advance();
  if (asked.kind != CommandKind::kCreateStream) return asked.told;
  // NaN fails both comparisons.
  if (!command.stream_id || !(*command.stream_id >= 1 && *command.stream_id <= 0xFFFFFFFF)) {
    fail(Failure::kOriginBadAmf, "createStream answered without a stream id");
    return true;
  }
  origin_stream_ = static_cast<std::uint32_t>(*command.stream_id);
  if (origin_stream_ != ServerHalf::kStreamId) {
    renumbers_ = true;
    view_.bridge.map_stream_id({origin_stream_, ServerHalf::kStreamId});
  }
  advance();
  return true;
}

void ReplayHalf::on_status(const Command& command) {
  // NetConnection messages (a request to reconnect) don't answer publish or play.
  if (!released() || command.code.starts_with("NetConnection.")) return;
  if (command.level == "error") {
    refused_ = true;
    note(denies_stream(command.code) ? Word::kNo : Word::kElse);
  } else if (begins_stream(command.code)) {
    // Nginx-rtmp says Play.Start behind "no such stream", and closes.
    const bool denied = word_ == Word::kNo || word_ == Word::kElse;
    if (denied && server_.wanted().role == Role::kPlayer) return;
    answered_ = true;
    refused_ = false;
    // Servers say Play.Reset before they look for the stream.
    if (command.code != "NetStream.Play.Reset") note(Word::kYes);
  }
  asked_.clear();  // origins answer in order: after this word no older answer comes
}

bool ReplayHalf::awaits(CommandKind kind) const {
  return std::any_of(asked_.begin(), asked_.end(),
                     [kind](const Asked& asked) { return asked.kind == kind; });
}

// The origin's bytes may pass unparsed from a message boundary on, once its word on publish or play
// has passed and the client's decoder reads every chunk stream as the origin means it.
void ReplayHalf::try_raw() {
  if (renumbers_ || !answered_ || !origin_.at_boundary()) return;
  if (view_.chunk_size != origin_.chunk_size()) return;
  origin_raw_ = view_.bridge.agrees(origin_) || view_.bridge.sync(origin_, view_.out);
}

bool ReplayHalf::at_client_boundary() const {
  // Who breaks off in the middle of a message leaves none.
  const bool whole = origin_.error() == ChunkError::kNone && origin_.at_boundary();
  return !passed_ || (!origin_raw_ && whole);
}

std::unique_ptr<StreamWatch> ReplayHalf::take_watch() {
  const RouteWanted& wanted = server_.wanted();
  return std::make_unique<StreamWatch>(wanted.role == Role::kPlayer
                                           ? StreamWatch::of_player(std::move(client_), wanted)
                                           : StreamWatch::of_publisher(std::move(origin_)));
}

std::size_t ReplayHalf::buffered_bytes() const {
  std::size_t sum = sizeof(*this) + to_origin_.capacity() + up_.buffered_bytes();
  for (const ChunkParser* parser : {&client_, &origin_}) {
    sum += parser->collected_bytes() + parser->streams().capacity() * sizeof(ChunkParser::Stream);
  }
  return sum;
}

}  // namespace weir::rtmp
