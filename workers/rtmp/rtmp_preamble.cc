// RtmpWorker, first half of a session's life: from accept until both directions are raw.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "workers/core/origin_text.h"
#include "workers/rtmp/rtmp_worker.h"

namespace weir::rtmp {
namespace {

using ipc::Counter;
using route::SearchWord;

constexpr int kClient = 0;
constexpr int kOrigin = 1;
// Output that may wait for one socket before the other is no longer read.
constexpr std::size_t kOutMax = 256 * 1024;

// A failed call on the client's socket. With ETIMEDOUT the kernel gave it up: TCP_USER_TIMEOUT.
EndReason client_failed(int error) {
  return error == ETIMEDOUT ? EndReason::kStalled : EndReason::kClientClosed;
}

// What the session has to say moves behind what waits for the socket already.
void take_output(std::vector<std::uint8_t>& from, OutBuffer& to) {
  if (from.empty()) return;
  if (to.empty()) {
    to.clear();
    to.data.swap(from);
  } else {
    to.append(ByteView(from));
    from.clear();
  }
}

// The client has sent all it will send. What it published is still owed to the origin; a player who
// leaves before an origin has taken it needs none.
bool outlives_half_close(const Conn& conn) {
  const Stage stage = conn.preamble->stage;
  if (stage == Stage::kNaming || stage == Stage::kClosing) return false;
  return conn.publisher || conn.preamble->opened;
}

// The relay passes a client's end on by itself; this is for sessions that it does not have (yet).
void pass_half_close(Preamble& p) {
  Leg& origin = p.side[kOrigin];
  if (!p.side[kClient].eof || p.stage != Stage::kTalking || origin.fin_sent ||
      p.session.state() < State::kAnswers || !origin.out.empty()) {
    return;
  }
  origin.fin_sent = true;
  origin.finish();
}

bool raw_both_ways(const Preamble& p) {
  return p.opened && p.session.ready_for_relay() && p.side[kClient].out.empty() &&
         p.side[kOrigin].out.empty();
}

// The origin's words are on their way to the client. After a refused connect either side closes
// now, or we do. A refused publish or play may be asked again on the same connection, which is then
// like an idle one.
void on_refused(Preamble& p, const Config& config) {
  if (p.session.state() != State::kReplay) {
    p.deadline_ms = p.last_move_ms + config.rtmp.idle_timeout;
  } else if (!p.rejected) {
    p.deadline_ms = std::min(p.deadline_ms, monotonic_ms() + config.rtmp.linger_timeout);
    p.rejected = true;
  }
}

// The origin has refused, and another one could be asked.
bool is_held_no(const Preamble& p) {
  const ReplayHalf::Word word = p.session.word();
  return p.stage == Stage::kTalking && p.session.holds() &&
         (word == ReplayHalf::Word::kNo || word == ReplayHalf::Word::kElse);
}

}  // namespace

void RtmpWorker::on_ready(std::uint64_t packed, std::uint32_t events) {
  const Token token = Token::unpack(packed);
  if (!conns_.valid(token.index, token.generation)) return;
  Conn& conn = conns_[token.index];
  if (!conn.preamble) return;
  Leg& side = conn.preamble->side[token.side];
  if (token.side == kOrigin && !side.fd) {
    if (conn.preamble->dial != 0) {
      on_dial(token.index, dialer_.on_ready(conn.preamble->dial, events));
    }
    return;
  }
  side.note(events);
  pump(token.index);
}

// Reads, feeds and writes until neither socket has more to give or take.
void RtmpWorker::pump(std::uint32_t index) {
  static constexpr int kRoundsMax = 64;  // then other sessions get their turn
  if (conns_[index].preamble->side[kClient].shaking() && !shake(index)) return;
  for (int round = 0; round < kRoundsMax; ++round) {
    if (!pump_round(index)) return;
  }
  // More is there; edge-triggered sets do not say so twice, so ask for it again.
  Conn& conn = conns_[index];
  for (const int side : {kClient, kOrigin}) {
    const int fd = conn.preamble->side[static_cast<std::size_t>(side)].fd.get();
    if (fd < 0) continue;
    const Token token{index, conn.generation, static_cast<std::uint8_t>(side)};
    if (!poller_.modify(fd, kSideEvents, token.pack())) return end(index, EndReason::kError);
  }
}

// Once around. False: nothing moved, or the preamble is gone.
bool RtmpWorker::pump_round(std::uint32_t index) {
  const std::uint32_t generation = conns_[index].generation;
  const auto alive = [&] {
    const Conn& conn = conns_[index];
    return conn.used && conn.generation == generation && conn.preamble != nullptr;
  };
  bool progress = false;
  if (!step(index)) return false;
  for (const int side : {kClient, kOrigin}) {
    if (!alive() || !flush(index, side, progress)) return false;
  }
  if (!alive()) return false;
  Preamble& p = *conns_[index].preamble;
  if (p.stage == Stage::kClosing) return finish_closing(index, progress) && progress;
  pass_half_close(p);
  if (raw_both_ways(p)) {
    start_relay(index);
    return false;
  }
  if (!read_origin(index, progress) || !alive()) return false;
  return read_client(index, progress) && alive() && progress;
}

// The client's TLS handshake. True when it is done.
bool RtmpWorker::shake(std::uint32_t index) {
  Conn& conn = conns_[index];
  Side& side = conn.preamble->side[kClient];
  const IoStatus status = side.handshake();
  if (status == IoStatus::kBlocked) return false;
  if (status == IoStatus::kEnded) {
    refuse_tls(index, side.tls->failure(), side.tls->failure_text());
    return false;
  }
  count_handshake(counters_, *side.tls);
  conn.preamble->deadline_ms = monotonic_ms() + config_.rtmp.handshake_timeout;
  return true;
}

void RtmpWorker::refuse_tls(std::uint32_t index, net::TlsFailure why, std::string_view text) {
  note_tls_failure(counters_, tls_failures_, conns_[index].id, conns_[index].client, why, text);
  end(index, EndReason::kTls);
}

// Acts on what the session says after it was fed. False when the connection is gone or waits.
bool RtmpWorker::step(std::uint32_t index) {
  Preamble& p = *conns_[index].preamble;
  take_output(p.session.to_client(), p.side[kClient].out);
  take_output(p.session.to_origin(), p.side[kOrigin].out);
  if (p.stage == Stage::kClosing) return true;
  if (p.session.state() == State::kFailed) {
    on_protocol_failure(index);
    return false;
  }
  if (p.stage == Stage::kNaming && p.session.state() == State::kRouteWanted) {
    find_route(index);
    return false;
  }
  const State state = p.session.state();
  if (p.stage == Stage::kDialing &&
      (state == State::kReplay || state == State::kAnswers || state == State::kRelay)) {
    p.stage = Stage::kTalking;
    dialer_.close(std::exchange(p.dial, 0));
    const std::uint64_t now = monotonic_ms();
    p.deadline_ms = p.session.holds() ? search_.silence_ends_ms(p.hunt, now)
                                      : now + config_.rtmp.answer_timeout;
  }
  if (is_held_no(p)) {
    const bool absent = p.session.word() == ReplayHalf::Word::kNo;
    if (search_on(index, absent ? SearchWord::kNo : SearchWord::kElse)) return false;
    p.session.pass_on();
    take_output(p.session.to_client(), p.side[kClient].out);
    p.deadline_ms = monotonic_ms() + config_.rtmp.answer_timeout;
  }
  const bool passes = p.stage == Stage::kTalking && !p.session.holds();
  if (passes && !p.opened && p.session.origin_answered()) open_session(index);
  if (p.stage == Stage::kTalking && !p.opened && p.session.origin_refused()) on_refused(p, config_);
  return true;
}

bool RtmpWorker::flush(std::uint32_t index, int side_index, bool& progress) {
  Conn& conn = conns_[index];
  Preamble& p = *conn.preamble;
  Side& side = p.side[static_cast<std::size_t>(side_index)];
  std::size_t moved = 0;
  const IoStatus status = side.flush(moved);
  const int error = errno;
  if (moved > 0) {
    p.last_move_ms = monotonic_ms();
    progress = true;
  }
  if (moved > 0 && p.opened) {
    const bool to_client = side_index == kClient;
    (to_client ? conn.bytes_to_client : conn.bytes_from_client) += moved;
    counters_.add(to_client ? Counter::kRtmpBytesToClients : Counter::kRtmpBytesFromClients, moved);
    if (to_client && conn.searched) check_found(search_, conn);
    const bool awaited = conn.publisher || p.session.media_passed();
    if (to_client && awaited && conn.first_byte_ms == 0) conn.first_byte_ms = p.last_move_ms;
  }
  if (status != IoStatus::kEnded) return true;
  if (side_index == kClient) {
    end(index, p.stage == Stage::kClosing ? p.closing_reason : client_failed(error));
    return false;
  }
  // The origin closed. What it said before that is still to be read.
  side.out = {};
  side.readable = true;
  return true;
}

bool RtmpWorker::read_client(std::uint32_t index, bool& progress) {
  Preamble& p = *conns_[index].preamble;
  Leg& side = p.side[kClient];
  if (!side.readable || side.eof) return true;
  if (p.side[kOrigin].out.pending() >= kOutMax || !p.session.want_client_bytes()) return true;
  ssize_t n = 0;
  if (side.read(read_buffer_, n) == IoStatus::kBlocked) return true;
  if (n == 0 && outlives_half_close(conns_[index])) {
    side.eof = true;
    progress = true;
    return true;
  }
  if (n <= 0) {
    end(index, n < 0 ? client_failed(errno) : EndReason::kClientClosed);
    return false;
  }
  const ByteView bytes(read_buffer_.data(), static_cast<std::size_t>(n));
  p.last_move_ms = monotonic_ms();
  progress = true;
  p.session.on_client_bytes(bytes);
  return true;
}

// The last word is out: says so, and reads on until the client has closed too. Closing a socket
// with unread bytes would reset the connection, which may cost the client that last word. False:
// ended.
bool RtmpWorker::finish_closing(std::uint32_t index, bool& progress) {
  Preamble& p = *conns_[index].preamble;
  Leg& side = p.side[kClient];
  if (!side.out.empty()) return true;
  if (!side.fin_sent) {
    side.fin_sent = true;
    side.finish();
  }
  if (!side.eof && !side.readable) return true;
  ssize_t n = 0;
  if (!side.eof && side.read(read_buffer_, n) == IoStatus::kBlocked) return true;
  if (n <= 0) {
    end(index, p.closing_reason);
    return false;
  }
  progress = true;
  return true;
}

bool RtmpWorker::read_origin(std::uint32_t index, bool& progress) {
  Preamble& p = *conns_[index].preamble;
  Leg& side = p.side[kOrigin];
  if (!side.fd || !side.readable || side.eof) return true;
  if (p.session.state() == State::kRouteWanted) return true;  // not connected yet
  if (p.side[kClient].out.pending() >= kOutMax) return true;
  ssize_t n = 0;
  if (side.read(read_buffer_, n) == IoStatus::kBlocked) return true;
  if (n <= 0) {
    const int error = n < 0 ? errno : 0;
    if (p.stage == Stage::kTalking && p.session.holds()) {
      if (!on_held_close(index)) return false;
    } else if (p.session.can_reset()) {
      // It has not shaken hands, so another origin may.
      origin_failed(index, ipc::DialOutcome::kHandshake,
                    error == 0 ? "closed without an answer" : std::strerror(error));
      return false;
    }
    if (p.session.state() == State::kReplay && !p.session.origin_refused()) {
      refuse(index, EndReason::kOriginClosed, "the origin closed without a word");
      return false;
    }
    side.eof = true;
    p.stage = Stage::kClosing;
    p.closing_reason = p.side[kClient].eof ? EndReason::kClientClosed : EndReason::kOriginClosed;
    p.deadline_ms = monotonic_ms() + config_.rtmp.linger_timeout;
    progress = true;
    return true;
  }
  const ByteView bytes(read_buffer_.data(), static_cast<std::size_t>(n));
  p.last_move_ms = monotonic_ms();
  progress = true;
  p.origin_spoke = true;
  p.session.on_origin_bytes(bytes);
  return true;
}

void RtmpWorker::find_route(std::uint32_t index) {
  Conn& conn = conns_[index];
  const RouteWanted& wanted = conn.preamble->session.wanted();
  remember(conn);
  const route::StreamKey key = aliases_.of_key(wanted.key);
  if (!key.ok()) return refuse(index, EndReason::kNoOrigin, route::to_string(key.error));
  conn.key = key.text;
  counters_.sub(Counter::kRtmpHandshaking);
  counters_.add(Counter::kRtmpDialing);
  if (!ask_hook(index)) route(index);
}

OriginDialer::Want dial_want(const Conn& conn, std::uint32_t index) {
  OriginDialer::Want want;
  want.owner = Token{index, conn.generation, kOrigin}.pack();
  want.session = conn.id;
  want.role = conn.publisher ? ipc::Role::kPublisher : ipc::Role::kPlayer;
  want.key = conn.key;
  want.client = conn.client;
  want.client_fd = conn.preamble->side[kClient].fd.get();
  return want;
}

void RtmpWorker::route(std::uint32_t index) {
  const Conn& conn = conns_[index];
  Preamble& p = *conn.preamble;
  if (!conn.publisher && search_.wants(conn.key) && !enter_search(index)) return;
  p.stage = Stage::kDialing;
  p.deadline_ms = 0;
  const OriginDialer::Started started = dialer_.start(dial_want(conn, index));
  p.dial = started.ticket;
  on_dial(index, started.step);
}

void RtmpWorker::on_dial(std::uint32_t index, const OriginDialer::Step& step) {
  Conn& conn = conns_[index];
  Preamble& p = *conn.preamble;
  conn.origin = step.origin;
  conn.endpoint = step.endpoint;
  if (conn.texts) conn.texts->origin = origin_text(state_, conn.origin, conn.endpoint);
  switch (step.state) {
    case OriginDialer::Step::State::kWaiting:
      break;
    case OriginDialer::Step::State::kOpen:
      on_connected(index);
      break;
    case OriginDialer::Step::State::kFailed: {
      p.dial = 0;
      if (p.hunt.begun && search_on(index, SearchWord::kUnreachable)) break;
      if (step.end == OriginDialer::End::kNotAdmitted) {
        on_bound(index);
      } else {
        refuse(index, EndReason::kNoOrigin, describe(step));
      }
      break;
    }
  }
}

// The handshake with the origin begins; whether it is one shows by the end of that.
void RtmpWorker::on_connected(std::uint32_t index) {
  Conn& conn = conns_[index];
  Preamble& p = *conn.preamble;
  p.origin_spoke = false;
  p.side[kOrigin] = Leg{};
  static_cast<Side&>(p.side[kOrigin]) = dialer_.take(p.dial);
  p.deadline_ms = monotonic_ms() + config_.rtmp.dial_timeout;
  ClientHandshakeOptions options;
  ipc::OriginRecord record;
  if (state_.read_origin(conn.origin, record) && record.send_client_ip &&
      conn.client.family == Family::kIpv4) {
    options.client_ipv4.emplace();
    std::copy_n(conn.client.ip, 4, options.client_ipv4->begin());
  }
  p.session.on_origin_connected(options);
  pump(index);
}

// The origin's handshake failed: another origin, or the end.
void RtmpWorker::origin_failed(std::uint32_t index, ipc::DialOutcome outcome,
                               std::string_view error) {
  Preamble& p = *conns_[index].preamble;
  p.side[kOrigin] = Leg{};
  p.deadline_ms = 0;
  p.session.reset_origin();
  on_dial(index, dialer_.retry(p.dial, {outcome, error, p.origin_spoke}));
}

// Says no in RTMP's own words, then closes.
void RtmpWorker::refuse(std::uint32_t index, EndReason reason, std::string_view description,
                        LogLevel level) {
  Conn& conn = conns_[index];
  Preamble& p = *conn.preamble;
  LogLine(level, "client refused")
      .session(conn.id)
      .field("stream", conn.key)
      .field("client", conn.client)
      .field("role", conn.publisher ? "publisher" : "player")
      .field("reason", description);
  p.side[kOrigin] = Leg{};
  dialer_.close(std::exchange(p.dial, 0));
  // What clients take for final: they would try again otherwise.
  const std::string_view code = reason != EndReason::kHook ? ""
                                : conn.publisher           ? "NetStream.Publish.BadName"
                                                           : "NetStream.Play.Failed";
  p.session.refuse(code, description);
  p.stage = Stage::kClosing;
  p.closing_reason = reason;
  p.deadline_ms = monotonic_ms() + config_.rtmp.linger_timeout;
  pump(index);
}

void RtmpWorker::on_protocol_failure(std::uint32_t index) {
  Conn& conn = conns_[index];
  Preamble& p = *conn.preamble;
  const Failure failure = p.session.failure();
  if (is_origins(failure) && p.stage == Stage::kTalking && p.session.holds()) {
    if (search_on(index, SearchWord::kUnreachable)) return;
    p.session.refuse({}, to_string(failure));
  } else if (is_origins(failure) && p.session.can_reset()) {
    origin_failed(index, ipc::DialOutcome::kHandshake, to_string(failure));
    return;
  }
  const bool left = failure == Failure::kStreamLeft;
  LogLine(left ? LogLevel::kInfo : LogLevel::kWarn, left ? "client left its stream, session ends"
                                                    : is_origins(failure)
                                                        ? "origin broke the protocol, session ends"
                                                        : "client broke the protocol, session ends")
      .session(conn.id)
      .field("stream", conn.key)
      .field("client", conn.client)
      .field("reason", to_string(failure))
      .field("detail", p.session.failure_detail());
  p.side[kOrigin].out = {};
  p.stage = Stage::kClosing;
  p.closing_reason = left                  ? EndReason::kClientClosed
                     : is_origins(failure) ? EndReason::kOriginProtocol
                                           : EndReason::kClientProtocol;
  p.deadline_ms = monotonic_ms() + config_.rtmp.linger_timeout;
  pump(index);
}

// The origin has taken the client: it counts from here on.
void RtmpWorker::open_session(std::uint32_t index) {
  Conn& conn = conns_[index];
  conn.preamble->opened = true;
  conn.preamble->deadline_ms = 0;
  conn.searched = conn.preamble->hunt.begun;
  search_.leave(conn.preamble->hunt);
  leave_half_open(conn);
  counters_.sub(Counter::kRtmpDialing);
  counters_.add(conn.publisher ? Counter::kRtmpPublishing : Counter::kRtmpPlaying);
  counters_.add(conn.publisher ? Counter::kRtmpPublishTotal : Counter::kRtmpPlayTotal);
  ipc::SessionOpen open;
  open.session = conn.id;
  open.origin = conn.origin;
  open.client = conn.client;
  open.role = conn.publisher ? ipc::Role::kPublisher : ipc::Role::kPlayer;
  open.key.assign(conn.key);
  link_.send(open);
  LogLine(LogLevel::kInfo, conn.publisher ? "publisher connected" : "player connected")
      .session(conn.id)
      .field("stream", conn.key)
      .field("origin", [&] { return origin_text(state_, conn.origin, conn.endpoint); })
      .field("client", conn.client)
      .field("setup_ms", monotonic_ms() - conn.accepted_ms);
}

void RtmpWorker::start_relay(std::uint32_t index) {
  Conn& conn = conns_[index];
  Preamble& p = *conn.preamble;
  poller_.remove(p.side[kClient].fd.get());
  poller_.remove(p.side[kOrigin].fd.get());
  SpliceRelay::Peer client(std::move(p.side[kClient].fd), std::move(p.side[kClient].tls));
  SpliceRelay::Peer origin(std::move(p.side[kOrigin].fd), std::move(p.side[kOrigin].tls));
  conn.watch = p.session.take_watch();
  leave_preamble(conn);
  conn.relay = relay_.start(
      std::move(client), std::move(origin), index,
      conn.watch->of_client() ? SpliceRelay::Watched::kClient : SpliceRelay::Watched::kOrigin);
}

bool on_watched(const Conn& conn, ByteView bytes) {
  if (conn.watch->feed(bytes)) return true;
  LogLine(LogLevel::kInfo, "client left its stream, session ends")
      .session(conn.id)
      .field("stream", conn.key)
      .field("client", conn.client)
      .field("reason", to_string(conn.watch->failure()));
  return false;
}

}  // namespace weir::rtmp
