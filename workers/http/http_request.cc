// HttpWorker, from the client's bytes to the origin.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/net/tcp.h"
#include "common/proto/http/head_writer.h"
#include "common/proto/http/target.h"
#include "common/route/stream_key.h"
#include "workers/core/dial.h"
#include "workers/http/http_worker.h"

namespace weir::http {
namespace {

using ipc::Counter;

constexpr std::size_t kPipelineBytes = 64 * 1024;  // requests that wait behind the current one
constexpr std::uint64_t kRouteTimeoutMs = 3000;    // for the master's answer
constexpr std::size_t kHttpKind = static_cast<std::size_t>(ipc::EndpointKind::kHttp);

Counter counter_of(ipc::DialOutcome outcome) {
  switch (outcome) {
    case ipc::DialOutcome::kRefused:
      return Counter::kHttpDialRefused;
    case ipc::DialOutcome::kTimeout:
      return Counter::kHttpDialTimeout;
    case ipc::DialOutcome::kHandshake:
      return Counter::kHttpDialHandshake;
    case ipc::DialOutcome::kTls:
      return Counter::kHttpDialTls;
    case ipc::DialOutcome::kOk:
    case ipc::DialOutcome::kOther:
      return Counter::kHttpDialOther;
  }
  return Counter::kHttpDialOther;
}

Kind kind_of(std::string_view path) {
  const std::string_view extension = path_extension(path);
  if (extension == ".m3u8" || extension == ".m3u") return Kind::kPlaylist;
  if (extension == ".mpd") return Kind::kManifest;
  if (extension == ".flv" || extension == ".ts" || extension == ".aac" || extension == ".mp3") {
    return Kind::kLive;
  }
  return Kind::kPass;
}

}  // namespace

std::string HttpWorker::origin_text(ipc::OriginRef origin) const {
  ipc::OriginRecord record;
  if (!state_.read_origin(origin, record)) return "";
  const std::string name(record.name);
  return record.endpoint_count[kHttpKind] == 0
             ? name
             : name + "@" + to_string(record.endpoints[kHttpKind][0]);
}

void HttpWorker::on_ready(std::uint64_t packed, std::uint32_t events) {
  const Token token = Token::unpack(packed);
  UpstreamPool::User user{token.index, token.generation};
  if (token.side == 1) {
    const auto found = pool_.user_of(token);
    if (!found) return;
    user = *found;
  }
  if (!conns_.valid(user.index, user.generation)) return;
  HttpConn& conn = conns_[user.index];
  if (conn.relay != SpliceRelay::kNone) return;
  if (token.side == 0) {
    conn.side.note(events);
  } else {
    // A stale event of a connection that this request has given up.
    if (!conn.exchange || conn.exchange->upstream.fd.get() != static_cast<int>(token.index)) return;
    conn.exchange->upstream.note(events);
    if (conn.exchange->stage == Stage::kConnecting) {
      on_connected(user.index);
      return;
    }
  }
  pump(user.index);
}

// Reads, feeds and writes until neither socket has more to give or take.
void HttpWorker::pump(std::uint32_t index) {
  static constexpr int kRoundsMax = 64;  // then other connections get their turn
  const std::uint32_t generation = conns_[index].generation;
  const auto mine = [&] {
    const HttpConn& conn = conns_[index];
    return conn.used && conn.generation == generation && conn.relay == SpliceRelay::kNone;
  };
  if (conns_[index].side.shaking() && !shake(index)) return;
  for (int round = 0; round < kRoundsMax; ++round) {
    bool progress = false;
    HttpConn& conn = conns_[index];
    std::size_t moved = 0;
    if (conn.side.flush(moved) == IoStatus::kEnded) {
      end(index, EndReason::kClientClosed);
      return;
    }
    if (moved > 0) {
      progress = true;
      conn.last_move_ms = monotonic_ms();
      note_sent(conn, moved);
    }
    if (conn.side.out.empty()) {
      if (!on_all_written(index, progress)) return;
      if (progress && !conn.exchange) continue;
    }
    if (conn.exchange && conn.exchange->stage == Stage::kFile) {
      if (!read_file(index, progress)) return;
    } else if (conn.exchange && conn.exchange->stage != Stage::kConnecting) {
      moved = 0;
      // An origin that closes may have said why: what it sent is read below.
      Side& origin = conn.exchange->upstream;
      const IoStatus status = origin.flush(moved);
      if (status == IoStatus::kEnded) {
        origin.out.clear();
        origin.readable = true;
      }
      progress = progress || moved > 0;
      if (!read_origin(index, progress) || !mine()) return;
    }
    if (!read_client(index, progress) || !mine()) return;
    if (!next_request(index, progress) || !mine()) return;
    if (conn.exchange && conn.exchange->stage == Stage::kRequestBody) {
      take_request_body(index, progress);
    }
    if (!progress) return;
  }
  // More is there; edge-triggered sets do not say so twice, so ask for it again.
  const HttpConn& conn = conns_[index];
  poller_.modify(conn.side.fd.get(), kSideEvents, Token{index, conn.generation, 0}.pack());
  if (conn.exchange && conn.exchange->upstream.fd) {
    const int origin = conn.exchange->upstream.fd.get();
    poller_.modify(origin, kSideEvents, pool_.token_of(origin));
  }
}

// The TLS handshake. True when it is done and requests may come.
bool HttpWorker::shake(std::uint32_t index) {
  HttpConn& conn = conns_[index];
  const IoStatus status = conn.side.handshake();
  if (status == IoStatus::kBlocked) return false;
  if (status == IoStatus::kEnded) {
    refuse_tls(index, conn.side.tls->failure(), conn.side.tls->failure_text());
    return false;
  }
  count_handshake(counters_, *conn.side.tls);
  conn.deadline_ms = monotonic_ms() + config_.http.request_timeout;
  return true;
}

void HttpWorker::refuse_tls(std::uint32_t index, net::TlsFailure why, std::string_view text) {
  count_failure(counters_, why);
  log_tls_failure(conns_[index].id, conns_[index].client, why, text);
  end(index, EndReason::kTls);
}

// Nothing waits for the client any more: the next step, if this was the last of one. False when the
// connection has ended or is the relay's.
bool HttpWorker::on_all_written(std::uint32_t index, bool& progress) {
  HttpConn& conn = conns_[index];
  if (conn.exchange && conn.exchange->stage == Stage::kHandOver) {
    if (!conn.exchange->upstream.out.empty()) return true;
    start_relay(index);
    return false;
  }
  if (conn.exchange && conn.exchange->stage == Stage::kAnswered) {
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
  conn.deadline_ms = monotonic_ms() + config_.http.linger_timeout;
  progress = true;
  return true;
}

bool HttpWorker::read_client(std::uint32_t index, bool& progress) {
  HttpConn& conn = conns_[index];
  if (!conn.side.readable || conn.client_eof || (conn.closing && !conn.lingering)) return true;
  // What comes now is for the other side of the relay.
  if (conn.exchange && conn.exchange->stage == Stage::kHandOver) return true;
  if (conn.in.size() >= kPipelineBytes) return true;
  ssize_t n = 0;
  const IoStatus status = conn.side.read(read_buffer_, n);
  if (status == IoStatus::kBlocked) return true;
  progress = true;
  if (status == IoStatus::kEnded) {
    conn.client_eof = true;
    // Nobody would read what the origins are being asked for.
    if (n < 0 || !conn.exchange || conn.exchange->stage == Stage::kApi ||
        conn.exchange->stage == Stage::kRequestBody) {
      const bool early = (n < 0 || !conn.in.empty() || conn.exchange) && !conn.lingering;
      end(index, early ? EndReason::kClientClosed : EndReason::kDone);
      return false;
    }
    conn.exchange->client_keep_alive = false;
    return true;
  }
  if (conn.lingering) return true;
  conn.in.insert(conn.in.end(), read_buffer_.begin(), read_buffer_.begin() + n);
  conn.bytes_from_client += static_cast<std::size_t>(n);
  counters_.add(Counter::kHttpBytesFromClients, static_cast<std::uint64_t>(n));
  return true;
}

// Begins the next request if one is complete and none is under way.
bool HttpWorker::next_request(std::uint32_t index, bool& progress) {
  HttpConn& conn = conns_[index];
  if (conn.exchange || conn.closing || conn.in.empty()) return true;
  if (conn.side.out.pending() > 0) return true;
  RequestHead head;
  const ParseStatus status = conn.parser.parse(as_text(conn.in), head);
  if (status == ParseStatus::kNeedMore) {
    if (conn.between_requests) {  // its first byte starts the clock
      conn.between_requests = false;
      begin_mark(conn, conn.in.size());
      conn.deadline_ms = monotonic_ms() + config_.http.request_timeout;
    }
    return true;
  }
  progress = true;
  conn.exchange = std::make_unique<Exchange>();
  begin_mark(conn, conn.in.size());
  conn.deadline_ms = 0;
  counters_.add(Counter::kHttpRequests);
  if (status == ParseStatus::kInvalid) {
    LogLine(LogLevel::kWarn, "request refused")
        .session(conn.id)
        .field("client", to_string(conn.client))
        .field("reason", to_string(conn.parser.error()));
    conn.exchange->client_keep_alive = false;
    conn.mark.request_bytes = conn.in.size();
    conn.in.clear();
    answer(index, {status_of(conn.parser.error()),
                   "text/plain; charset=utf-8",
                   to_string(conn.parser.error()),
                   {},
                   true});
    return true;
  }
  const std::vector<std::uint8_t> bytes = std::move(conn.in);  // the head is views into it
  conn.in.assign(bytes.begin() + static_cast<std::ptrdiff_t>(head.consumed), bytes.end());
  begin(index, head);
  return true;
}

void HttpWorker::begin(std::uint32_t index, const RequestHead& head) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  x.method = head.method;
  x.http10 = head.minor == 0;
  x.client_keep_alive = head.keep_alive && !drain_.begun();
  x.path = head.path;
  x.kind = kind_of(head.path);
  // Segments of playlists have the same extensions, and carry a hint.
  const bool hinted = !route::hint_in_query(head.query).empty();
  if (x.kind == Kind::kLive && hinted) x.kind = Kind::kPass;
  // No other protocol: what goes through a tunnel is not looked at (HTTP/2 would be requests).
  x.upgrade = head.upgrade && head.method == Method::kGet &&
              equal_ignoring_case(head.fields.get(HeaderId::kUpgrade), "websocket");
  const bool https = conn.side.tls != nullptr || conn.behind_tls;
  x.identity = identify_client({conn.client, https, head.host}, head.fields, trusted_);
  mark_request(conn, head);
  if (!may_ask(index, head)) return;
  if (conn.api) {
    begin_api(index, head);
    return;
  }
  if (answer_here(index, head)) return;
  if (!hinted && !x.upgrade && static_.enabled() && serve_file(index, head)) return;
  build_request(x, head);
  find_route(index, head);
}

// Requests that no origin needs to see. True when it was answered.
bool HttpWorker::answer_here(std::uint32_t index, const RequestHead& head) {
  static constexpr std::string_view kAllowed = "GET, HEAD, OPTIONS";
  if (head.method == Method::kOptions) {
    answer(index, {204, {}, {}, kAllowed});
    return true;
  }
  if (!head.body.empty() || (head.method != Method::kGet && head.method != Method::kHead)) {
    // The body is not read, so the connection cannot go on.
    answer(index, {405, "text/plain; charset=utf-8", "only GET, HEAD and OPTIONS here\n", kAllowed,
                   !head.body.empty()});
    return true;
  }
  return false;
}

void HttpWorker::build_request(Exchange& x, const RequestHead& head) {
  static constexpr FieldSet kNotPassed =
      kForwardingFields | FieldSet{HeaderId::kHost, HeaderId::kExpect};
  x.query = route::query_without_hint(head.query);
  if (x.query.find(kHookStemParameter) != std::string::npos) {
    x.query = remove_param(x.query, kHookStemParameter);
  }
  x.sent_host = head.host;
  std::string target(head.path);
  if (!x.query.empty()) target += "?" + x.query;
  HeadWriter writer(x.request);
  FieldSet skip = kNotPassed;
  // A playlist is rewritten here, so it must come whole and readable.
  if (x.kind == Kind::kPlaylist || x.kind == Kind::kManifest) {
    skip = skip | FieldSet{HeaderId::kAcceptEncoding, HeaderId::kRange, HeaderId::kIfRange,
                           HeaderId::kIfNoneMatch, HeaderId::kIfModifiedSince};
  }
  writer.request(head.method_text, target);
  if (!x.sent_host.empty()) writer.field(HeaderId::kHost, x.sent_host);
  writer.copy_end_to_end(head.fields, skip);
  write_forwarding(writer, x.identity);
  if (x.upgrade) {
    writer.field(HeaderId::kConnection, "Upgrade");
    writer.field(HeaderId::kUpgrade, head.fields.get(HeaderId::kUpgrade));
  } else {
    writer.field(HeaderId::kConnection, x.kind == Kind::kLive ? "close" : "keep-alive");
  }
  if (!writer.finish()) x.request.clear();
  // A client of HTTP/1.0 cannot read chunks, so its origin must not send any.
  if (x.http10) {
    const std::size_t version = x.request.find("HTTP/1.1\r\n");
    if (version != std::string::npos) x.request[version + 7] = '0';
  }
}

void HttpWorker::find_route(std::uint32_t index, const RequestHead& head) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  if (x.request.empty()) {
    answer(index, {400, "text/plain; charset=utf-8", "request cannot be passed on\n", {}, true});
    return;
  }
  const route::StreamKey key = route::from_http_path(head.host, head.path, head.query);
  if (!key.ok()) {
    answer(index, {404, "text/plain; charset=utf-8", route::to_string(key.error)});
    return;
  }
  x.key = key.text;
  x.pinned = route_by_hint(x, head.query);
  if (!ask_hook(index, head, key)) route(index);
}

void HttpWorker::route(std::uint32_t index) {
  Exchange& x = *conns_[index].exchange;
  if (x.pinned) {
    counters_.add(Counter::kHttpHintHits);
    dial(index, x.origin, false);
    return;
  }
  const auto route = state_.find_route(x.key, ipc::Role::kPlayer, ipc::EndpointKind::kHttp);
  if (route) {
    counters_.add(Counter::kRouteHits);
    dial(index, *route, false);
    return;
  }
  counters_.add(Counter::kRouteMisses);
  ask_master(index);
}

// The origin that the playlist's hint names, if it is there and up.
bool HttpWorker::route_by_hint(Exchange& x, std::string_view query) {
  const auto fingerprint = route::read_hint(hint_key_, query, x.path);
  if (!fingerprint) return false;
  const auto usable = [&](ipc::OriginRef ref) {
    ipc::OriginRecord record;
    if (!state_.read_origin(ref, record) || record.state != ipc::OriginState::kUp) return false;
    for (std::size_t i = 0; i < record.endpoint_count[kHttpKind]; ++i) {
      if (route::origin_fingerprint(hint_key_, record.endpoints[kHttpKind][i]) != *fingerprint) {
        continue;
      }
      x.origin = ref;
      x.endpoint = record.endpoints[kHttpKind][i];
      return true;
    }
    return false;
  };
  const auto known = fingerprints_.find(*fingerprint);
  if (known != fingerprints_.end()) {
    if (usable(known->second)) return true;
    fingerprints_.erase(known);
  }
  std::uint32_t left = state_.header().origins_used.load(std::memory_order_relaxed);
  for (std::uint32_t slot = 0; slot < state_.header().origin_capacity && left > 0; ++slot) {
    ipc::OriginRecord record;
    if (!state_.read_origin(slot, record)) continue;
    --left;
    const ipc::OriginRef ref{slot, record.generation};
    if (!usable(ref)) continue;
    fingerprints_.emplace(*fingerprint, ref);
    return true;
  }
  return false;
}

void HttpWorker::ask_master(std::uint32_t index) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  ipc::RouteRequest request;
  request.session = conn.id;
  request.protocol = ipc::EndpointKind::kHttp;
  request.role = ipc::Role::kPlayer;
  request.failed_count = static_cast<std::uint16_t>(std::min(x.failed.size(), ipc::kMaxFailed));
  std::copy_n(x.failed.begin(), request.failed_count, request.failed);
  request.key.assign(x.key);
  request.header.request = link_.next_request();
  x.stage = Stage::kRouting;
  x.route_request = request.header.request;
  x.deadline_ms = monotonic_ms() + kRouteTimeoutMs;
  if (!link_.send(request)) {
    x.route_request = 0;
    answer(index, {503, "text/plain; charset=utf-8", "the routing service is not available\n"});
    return;
  }
  route_requests_.emplace(x.route_request, index);
}

void HttpWorker::on_route_answer(const ipc::RouteAnswer& message) {
  const auto found = route_requests_.find(message.header.request);
  if (found == route_requests_.end()) return;  // the client has left meanwhile
  const std::uint32_t index = found->second;
  route_requests_.erase(found);
  Exchange& x = *conns_[index].exchange;
  x.route_request = 0;
  if (x.stage != Stage::kRouting) return;
  if (message.status == ipc::RouteStatus::kOk) {
    dial(index, message.origin, false);
  } else {
    counters_.add(Counter::kRouteRefused);
    LogLine(LogLevel::kWarn, "request refused")
        .session(conns_[index].id)
        .field("client", to_string(x.identity.client))
        .field("stream", x.key)
        .field("reason", to_string(message.status));
    answer(index, {x.failed.empty() ? 503 : 502, "text/plain; charset=utf-8",
                   "no origin can serve this stream\n"});
  }
  pump(index);
}

// `fresh`: not with a connection of the pool.
void HttpWorker::dial(std::uint32_t index, ipc::OriginRef origin, bool fresh) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  ipc::OriginRecord record;
  if (!state_.read_origin(origin, record) || record.endpoint_count[kHttpKind] == 0) {
    x.origin = origin;
    x.reused = false;
    ++x.attempts;
    // kOk: nothing that speaks against the origin's health.
    origin_failed(index, ipc::DialOutcome::kOk, "the origin has left, or serves no HTTP");
    return;
  }
  const bool same = x.origin == origin && !x.endpoint.empty();
  x.origin = origin;
  if (!same) x.endpoint = record.endpoints[kHttpKind][conn.id % record.endpoint_count[kHttpKind]];
  x.upstream = Side{};
  x.in.clear();
  x.parser = ResponseParser{};
  x.reused = false;
  x.proxy_protocol = record.proxy_protocol;
  UpstreamPool::Connection pooled;
  if (!fresh && x.kind != Kind::kLive && !x.upgrade && x.proxy_protocol == 0) {
    pooled = pool_.take(x.endpoint, {index, conn.generation});
  }
  if (pooled.fd) {
    x.upstream.fd = std::move(pooled.fd);
    x.upstream.tls = std::move(pooled.tls);
    x.reused = true;
    x.upstream.writable = true;  // an edge, had it not been
    counters_.add(Counter::kHttpReused);
    send_request(x);
    return;
  }
  dial_anew(index);
}

// A new connection to x.endpoint.
void HttpWorker::dial_anew(std::uint32_t index) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  x.stage = Stage::kConnecting;
  x.deadline_ms = monotonic_ms() + config_.http.dial_timeout;
  ++x.attempts;
  counters_.add(Counter::kHttpDials);
  auto dialed =
      net::start_connect(x.endpoint, {config_.rtmp.tcp_keepalive, config_.http.stall_timeout});
  if (!dialed) {
    const int code = dialed.error().sys_errno;
    origin_failed(index, is_local_shortage(code) ? ipc::DialOutcome::kOk : dial_outcome(code),
                  dialed.error().text);
    return;
  }
  x.upstream.fd = std::move(*dialed);
  const int fd = x.upstream.fd.get();
  if (!poller_.add(fd, kSideEvents, pool_.open(fd, {index, conn.generation}))) {
    origin_failed(index, ipc::DialOutcome::kOther, "no place in the event set");
  }
}

// Puts it into the output; the pump writes it.
void HttpWorker::send_request(Exchange& x) const {
  x.stage = Stage::kAwaitHead;
  x.deadline_ms = monotonic_ms() + config_.http.answer_timeout;
  x.upstream.out.append(x.request);
}

std::vector<std::uint8_t> HttpWorker::proxy_header_of(std::uint32_t index) const {
  const Exchange& x = *conns_[index].exchange;
  if (x.proxy_protocol == 0) return {};
  const Endpoint local = net::local_address(conns_[index].side.fd.get());
  return proxy_header(x.proxy_protocol, x.identity.client, local);
}

// The TLS handshake with the origin. True when it is done.
bool HttpWorker::shake_origin(std::uint32_t index) {
  Exchange& x = *conns_[index].exchange;
  if (!x.upstream.tls) {
    ipc::OriginRecord record;
    static_cast<void>(state_.read_origin(x.origin, record));  // one that has left has no name
    x.upstream.tls =
        origin_tls_.connect(x.upstream.fd.get(), x.endpoint, record, proxy_header_of(index));
    if (!x.upstream.tls) {
      origin_failed(index, ipc::DialOutcome::kOk, "TLS to origins cannot be had");
      return false;
    }
  }
  const IoStatus status = x.upstream.handshake();
  if (status == IoStatus::kEnded) {
    const std::string why = tls_failure_text(*x.upstream.tls);  // the stream goes with the side
    origin_failed(index, ipc::DialOutcome::kTls, why);
  }
  return status == IoStatus::kOk;
}

void HttpWorker::on_connected(std::uint32_t index) {
  Exchange& x = *conns_[index].exchange;
  if (const int error = net::take_socket_error(x.upstream.fd.get()); error != 0) {
    origin_failed(index, dial_outcome(error), std::strerror(error));
    return;
  }
  if (!x.upstream.writable) return;
  if (is_tls(x.endpoint) && !shake_origin(index)) return;
  if (x.proxy_protocol != 0 && !x.upstream.tls) x.upstream.out.append(proxy_header_of(index));
  send_request(x);
  pump(index);
}

// No byte of a response has come: the same origin on a new connection, another origin, or the end.
void HttpWorker::origin_failed(std::uint32_t index, ipc::DialOutcome outcome,
                               std::string_view error) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  x.upstream = Side{};
  if (x.reused) {  // it had been idle, and closed just now; GET and HEAD may be asked again
    dial(index, x.origin, true);
    return;
  }
  if (outcome != ipc::DialOutcome::kOk) counters_.add(counter_of(outcome));
  // An origin that takes the connection and closes it may mean this one request, which any client
  // could send: that is not held against its health.
  if (outcome != ipc::DialOutcome::kOk && outcome != ipc::DialOutcome::kHandshake) {
    ipc::DialResult result;
    result.origin = x.origin;
    result.endpoint = ipc::EndpointKind::kHttp;
    result.outcome = outcome;
    link_.send(result);
  }
  x.failed.push_back(x.origin);
  x.endpoint = Endpoint{};
  const bool again = x.attempts < config_.http.dial_attempts;
  LogLine(LogLevel::kWarn, again ? "origin failed, asking for another" : "origin failed")
      .session(conn.id)
      .field("stream", x.key)
      .field("origin", origin_text(x.origin))
      .field("client", to_string(x.identity.client))
      .field("error", error)
      .field("attempt", x.attempts);
  if (again) {
    counters_.add(Counter::kRouteMisses);
    ask_master(index);
    return;
  }
  answer(index, {outcome == ipc::DialOutcome::kTimeout ? 504 : 502, "text/plain; charset=utf-8",
                 "no origin could be reached\n"});
  pump(index);
}

}  // namespace weir::http
