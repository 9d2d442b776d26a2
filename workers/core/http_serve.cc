// http::Server: a connection's bytes: what it sends becomes requests, what rooms make is written.
#include <cerrno>
#include <utility>

#include "common/base/clock.h"
#include "common/proto/http/head_writer.h"
#include "workers/core/http_server.h"

namespace weir::http {
namespace {

constexpr std::size_t kPipelineBytes = 64 * 1024;  // requests that wait behind the current one
constexpr std::size_t kKeptBytes = 16 * 1024;      // of the output's memory between requests
constexpr std::string_view kText = "text/plain; charset=utf-8";

}  // namespace

void Server::serve(std::uint32_t index) {
  // Then other connections get their turn.
  static constexpr int kRoundsMax = 64;
  static constexpr int kRequestsMax = 4;
  if (serving_) {  // only from a room that forgot to wake()
    wake(index);
    return;
  }
  if (conns_[index].side.shaking() && !shake(index)) return;
  serving_ = index;
  begun_ = 0;
  bool more = true;
  for (int round = 0; more && round < kRoundsMax && begun_ < kRequestsMax; ++round) {
    more = step(index);
  }
  serving_.reset();
  // Edge-triggered sets do not say twice that more is there.
  if (more) wake(index);
}

// One round. False: nothing has moved, or the connection has ended or is a room's.
bool Server::step(std::uint32_t index) {
  Connection& conn = conns_[index];
  const std::uint32_t generation = conn.generation;
  const auto mine = [&] { return conn.used && conn.generation == generation && !conn.detached; };
  conn.work = false;
  bool progress = false;
  if (!write_client(index, progress)) return false;
  if (conn.side.out.empty()) {
    if (!on_all_written(index, progress)) return false;
    if (progress && !conn.exchange) return true;
  }
  const auto room = [&]() -> Room* {
    const Exchange* x = conn.exchange.get();
    return x == nullptr || x->answered || x->intake ? nullptr : x->room;
  };
  if (Room* const serving = room(); serving != nullptr) {
    serving->serve(index, progress);
    if (!mine()) return false;
  }
  if (!read_client(index, progress)) return false;
  next_request(index, progress);
  if (!mine()) return false;
  if (conn.exchange && conn.exchange->intake) take_body(index, progress);
  return mine() && (progress || conn.work);
}

// The TLS handshake. True when it is done and requests may come.
bool Server::shake(std::uint32_t index) {
  Connection& conn = conns_[index];
  const IoStatus status = conn.side.handshake();
  if (status == IoStatus::kBlocked) return false;
  if (status == IoStatus::kEnded) {
    note_tls_failure(counters_, tls_failures_, conn.id, conn.client, conn.side.tls->failure(),
                     conn.side.tls->failure_text());
    end(index, EndReason::kTls);
    return false;
  }
  count_handshake(counters_, *conn.side.tls);
  conn.deadline_ms = monotonic_ms() + settings_.request_timeout;
  return true;
}

bool Server::write_client(std::uint32_t index, bool& progress) {
  Connection& conn = conns_[index];
  std::size_t moved = 0;
  if (conn.side.flush(moved) == IoStatus::kEnded) {
    end(index, EndReason::kClientClosed);
    return false;
  }
  if (moved == 0) return true;
  progress = true;
  conn.last_move_ms = monotonic_ms();
  note_moved(index, 0, moved);
  return true;
}

// Nothing waits for the client any more: the next step, if this was the last of one. False when the
// connection has ended.
bool Server::on_all_written(std::uint32_t index, bool& progress) {
  Connection& conn = conns_[index];
  if (conn.exchange && conn.exchange->answered) {
    finish_exchange(index, EndReason::kDone);
    progress = true;
  }
  if (conn.exchange || !conn.closing || conn.lingering) return true;
  if (conn.client_eof || !conn.discard) {
    if (conn.side.tls) conn.side.finish();  // so that the client knows that it has all
    end(index, EndReason::kDone);
    return false;
  }
  // A close with unread bytes would reset the connection, and the client might lose the answer.
  conn.side.finish();
  conn.lingering = true;
  conn.deadline_ms = monotonic_ms() + settings_.linger_timeout;
  progress = true;
  return true;
}

bool Server::read_client(std::uint32_t index, bool& progress) {
  Connection& conn = conns_[index];
  if (!conn.side.readable || conn.client_eof || (conn.closing && !conn.lingering)) return true;
  if (conn.exchange && !conn.exchange->takes_input) return true;
  if (conn.in.size() >= kPipelineBytes) return true;
  ssize_t n = 0;
  const IoStatus status = conn.side.read(read_buffer_, n);
  if (status == IoStatus::kBlocked) return true;
  progress = true;
  if (status == IoStatus::kEnded) return on_client_end(index, n == 0);
  if (conn.lingering) return true;
  conn.in.insert(conn.in.end(), read_buffer_.begin(), read_buffer_.begin() + n);
  note_moved(index, static_cast<std::uint64_t>(n), 0);
  return true;
}

// `in_order`: it may still read. False when the connection has ended.
bool Server::on_client_end(std::uint32_t index, bool in_order) {
  Connection& conn = conns_[index];
  conn.client_eof = true;
  const bool whole = conn.exchange && !conn.exchange->intake;
  if (in_order && whole) {
    if (conn.in.empty()) conn.exchange->client_keep_alive = false;
    return true;
  }
  // Between two answers: requests that came before its end are still answered.
  if (in_order && !conn.exchange && !conn.closing && !conn.in.empty()) return true;
  const bool early = (!in_order || !conn.in.empty() || conn.exchange) && !conn.lingering;
  end(index, early ? EndReason::kClientClosed : EndReason::kDone);
  return false;
}

// Begins the next request if one is complete and none is under way.
void Server::next_request(std::uint32_t index, bool& progress) {
  Connection& conn = conns_[index];
  if (conn.exchange || conn.closing || conn.in.empty() || conn.side.out.pending() > 0) return;
  RequestHead head;
  const ParseStatus status = conn.parser.parse(as_text(conn.in), head);
  if (status == ParseStatus::kNeedMore) {
    if (conn.client_eof) {
      end(index, EndReason::kClientClosed);
      return;
    }
    if (!conn.head_begun) {  // its first byte starts the clock
      conn.head_begun = true;
      conn.between_requests = false;
      AccessBook::begin(conn, conn.in.size());
      conn.deadline_ms = conn.mark.started_ms + settings_.request_timeout;
    }
    return;
  }
  progress = true;
  AccessBook::begin(conn, conn.in.size());
  // One time limit for a whole request: what is left of it is for the body.
  if (!conn.head_begun) conn.deadline_ms = conn.mark.started_ms + settings_.request_timeout;
  conn.head_begun = false;
  counters_.add(meters_.requests);
  ++begun_;
  if (status == ParseStatus::kInvalid) {
    const HeadError error = conn.parser.error();
    note_refused(index, {}, to_string(error));
    conn.exchange = std::make_unique<Exchange>();
    conn.mark.request_bytes = conn.in.size();
    conn.in.clear();
    refuse(index, {status_of(error), kText, to_string(error), {}, true});
    return;
  }
  const std::vector<std::uint8_t> bytes = std::move(conn.in);  // the head is views into it
  conn.in.assign(bytes.begin() + static_cast<std::ptrdiff_t>(head.consumed), bytes.end());
  begin(index, head);
}

void Server::begin(std::uint32_t index, const RequestHead& head) {
  Connection& conn = conns_[index];
  Exchange basics;
  basics.method = head.method;
  basics.http10 = head.minor == 0;
  basics.client_keep_alive = head.keep_alive && !draining_;
  const bool https = conn.side.tls != nullptr || conn.behind_tls;
  basics.identity = identify_client({conn.client, https, head.host}, head.fields, trusted());
  basics.https = basics.identity.https;
  basics.cors = read_cors_ask(conn.port->cors, head.fields);
  AccessBook::note_head(conn, head);
  if (!may_ask(index, head, basics)) return;
  for (Room* const room : conn.port->rooms) {
    basics.room = room;
    if (room->begin(index, head, basics)) return;
  }
  conn.exchange = std::make_unique<Exchange>(std::move(basics));
  conn.exchange->room = nullptr;
  refuse(index, {404, kText, "there is nothing at this path\n", {}, !head.body.empty()});
}

// Whether the access options and the request rate let this request go on; else it is answered.
bool Server::may_ask(std::uint32_t index, const RequestHead& head, Exchange& basics) {
  Connection& conn = conns_[index];
  const Limits::Asked asked =
      limits_.may_ask(basics.identity.client, conn.port->access, conn.mark.started_ms);
  if (asked.verdict == Limits::Verdict::kGoOn) return true;
  conn.exchange = std::make_unique<Exchange>(std::move(basics));
  if (asked.verdict == Limits::Verdict::kDenied) {
    refuse(index, {403, kText, "not from this address\n", {}, true});
    return false;
  }
  Answer refusal{429, kText, "too many requests\n", {}, !head.body.empty()};
  refusal.retry_after = asked.wait_s;
  refuse(index, refusal);
  return false;
}

void Server::collect_body(std::uint32_t index, const RequestHead& head, std::size_t most) {
  Connection& conn = conns_[index];
  Exchange& x = *conn.exchange;
  if (head.body.framing == Framing::kLength && head.body.length > most) {
    x.room->refuse_body(index, 413, "the body is too large");
    return;
  }
  if (head.body.empty()) {
    x.room->on_body(index, {});
    return;
  }
  x.intake = std::make_unique<BodyIntake>();
  x.intake->framing = head.body;
  x.intake->left = head.body.length;
  x.intake->most = most;
  x.deadline_ms = conn.deadline_ms;
  if (head.expect_continue && conn.in.empty()) {
    conn.side.out.append("HTTP/1.1 100 Continue\r\n\r\n");
  }
  wake(index);
}

// Moves what has come of the body; the room has it when it is whole.
void Server::take_body(std::uint32_t index, bool& progress) {
  Connection& conn = conns_[index];
  Exchange& x = *conn.exchange;
  BodyIntake& intake = *x.intake;
  if (conn.in.empty()) return;
  progress = true;
  bool whole = false;
  bool sound = true;
  bool small = true;
  ByteView rest(conn.in);
  if (intake.framing.framing == Framing::kLength) {
    const auto mine = static_cast<std::size_t>(std::min<std::uint64_t>(intake.left, rest.size()));
    intake.text += as_text(rest.first(mine));
    rest = rest.subspan(mine);
    intake.left -= mine;
    whole = intake.left == 0;
  } else {
    ParseStatus status = ParseStatus::kComplete;
    while (status == ParseStatus::kComplete && !intake.chunked.done() &&
           intake.text.size() <= intake.most) {
      ByteView data;
      status = intake.chunked.next(rest, data);
      intake.text += as_text(data);
    }
    whole = intake.chunked.done();
    // A chunk that is announced as too large is not waited for.
    small = intake.chunked.error() != ChunkedError::kSizeTooLarge &&
            intake.chunked.chunk_left() <= intake.most - std::min(intake.most, intake.text.size());
    sound = status != ParseStatus::kInvalid || !small;
  }
  small = small && intake.text.size() <= intake.most;
  conn.in.erase(conn.in.begin(), conn.in.end() - static_cast<std::ptrdiff_t>(rest.size()));
  if (sound && small && !whole) return;
  std::string body = std::move(intake.text);
  x.intake.reset();
  x.deadline_ms = 0;
  if (!sound) {
    x.room->refuse_body(index, 400, "the body's chunks cannot be read");
  } else if (!small) {
    x.room->refuse_body(index, 413, "the body is too large");
  } else {
    x.room->on_body(index, std::move(body));
  }
}

void Server::answer(std::uint32_t index, const Answer& what) {
  Connection& conn = conns_[index];
  Exchange& x = *conn.exchange;
  if (what.close || draining_ || (conn.client_eof && conn.in.empty())) {
    x.client_keep_alive = false;
  }
  conn.discard = conn.discard || what.close;
  x.status = static_cast<std::uint16_t>(what.status);
  x.answered = true;
  x.deadline_ms = 0;
  std::string out;
  HeadWriter writer(out);
  writer.response(static_cast<unsigned>(what.status));
  if (!what.content_type.empty()) writer.field(HeaderId::kContentType, what.content_type);
  if (!what.location.empty()) writer.field(HeaderId::kLocation, what.location);
  if (!what.allow.empty()) writer.field(HeaderId::kAllow, what.allow);
  if (what.fields != nullptr) {
    for (const auto& [name, value] : *what.fields) writer.field(name, value);
  } else {
    const CorsMode cors = conn.port->cors;
    const PutField put = [&](std::string_view name, std::string_view value) {
      writer.field(name, value);
    };
    put_cors(cors, x.cors.get(), false, put);
    if (x.method == Method::kOptions) put_preflight(cors, x.cors.get(), conn.port->methods, put);
    if (what.status == 401) writer.field("WWW-Authenticate", "Bearer realm=\"weir\"");
    const std::uint64_t retry_after = what.status == 503 ? 2 : what.retry_after;
    if (retry_after > 0) writer.field(HeaderId::kRetryAfter, retry_after);
  }
  writer.field(HeaderId::kConnection, x.client_keep_alive ? "keep-alive" : "close");
  if (what.status != 204) writer.body({Framing::kLength, what.body.size()});
  writer.finish();
  conn.side.out.append(out);
  if (x.method != Method::kHead) conn.side.out.append(what.body);
  x.head_sent = true;
  wake(index);
}

void Server::refuse(std::uint32_t index, Answer what) {
  const Port& port = *conns_[index].port;
  if (!port.error_form) return answer(index, what);
  const ErrorText text = port.error_form(what.status, what.body);
  what.status = text.status;
  what.content_type = text.content_type;
  what.body = text.body;
  answer(index, what);
}

void Server::note_refused(std::uint32_t index, std::string_view path, std::string_view reason) {
  std::uint64_t suppressed = 0;
  if (!refusals_.take(monotonic_ms(), suppressed)) return;
  const Connection& conn = conns_[index];
  const bool named = conn.exchange && !conn.exchange->identity.client.empty();
  LogLine line(LogLevel::kWarn, "request refused");
  line.session(conn.id).field("client", named ? conn.exchange->identity.client : conn.client);
  if (!path.empty()) line.field("path", path);
  line.field("reason", reason).field("suppressed", suppressed);
}

// The response is written: the next request, or the end.
void Server::finish_exchange(std::uint32_t index, EndReason reason) {
  Connection& conn = conns_[index];
  Exchange& x = *conn.exchange;
  const bool more = !conn.client_eof || !conn.in.empty();  // what came before its end still counts
  const bool again = x.client_keep_alive && more && !draining_;
  if (x.room != nullptr) x.room->on_end(index, reason);
  book_.write(conn, reason);
  conn.exchange.reset();
  if (conn.side.out.data.capacity() > kKeptBytes) conn.side.out = {};
  if (!again) {
    conn.closing = true;
    // It may have sent more before it learns of the end.
    conn.discard = conn.discard || (draining_ && (!conn.in.empty() || conn.side.readable));
    return;
  }
  conn.between_requests = conn.in.empty();
  // Its last byte went out just now.
  conn.deadline_ms = conn.last_move_ms + (conn.between_requests ? settings_.keepalive_timeout
                                                                : settings_.request_timeout);
}

}  // namespace weir::http
