// HttpWorker, from the origin's response to the client.
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/proto/dash/mpd.h"
#include "common/proto/hls/playlist.h"
#include "common/proto/http/head_writer.h"
#include "common/proto/http/target.h"
#include "workers/http/http_worker.h"

namespace weir::http {
namespace {

using ipc::Counter;

constexpr FieldSet kNotOfRewritten = {HeaderId::kEtag, HeaderId::kAcceptRanges,
                                      HeaderId::kContentRange, HeaderId::kLastModified};
// Output that may wait for the client before its origin is no longer read.
constexpr std::size_t kOutMax = 256 * 1024;
constexpr std::size_t kRewrittenKept = 256 * 1024;  // memory for the next playlist
constexpr std::size_t kHeadRead = 4096;
constexpr std::size_t kHeadMax = 64 * 1024;  // several interim heads and one real one

// A client that is never quite up to date would let what it has had pile up.
void compact(OutBuffer& out) {
  if (out.sent < kOutMax) return;
  out.data.erase(out.data.begin(), out.data.begin() + static_cast<std::ptrdiff_t>(out.sent));
  out.sent = 0;
}

// Where nginx sends clients: the host that they named, but its own port.
std::string with_port_of(std::string_view host, const Endpoint& endpoint) {
  const std::size_t colon = host.rfind(':');
  const bool has_port = colon != std::string_view::npos && host.find(']', colon) == host.npos;
  return std::string(has_port ? host.substr(0, colon) : host) + ":" + std::to_string(endpoint.port);
}

bool ends(Framing framing) {
  return framing != Framing::kUntilClose && framing != Framing::kTunnel;
}

}  // namespace

bool HttpWorker::read_origin(std::uint32_t index, bool& progress) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  const bool wants =
      x.stage == Stage::kAwaitHead || x.stage == Stage::kBody || x.stage == Stage::kCollect;
  if (!wants || !x.upstream.fd || (!x.upstream.readable && x.in_pipe == 0)) return true;
  if (splices(conn)) return splice_body(index, progress);
  if (conn.side.out.pending() >= kOutMax) return true;
  compact(conn.side.out);
  ssize_t n = 0;
  MutableBytes room(read_buffer_);
  // Of what will be spliced, little more than the head is to be copied.
  if (x.stage == Stage::kAwaitHead && x.kind == Kind::kPass && !x.upstream.tls)
    room = room.first(kHeadRead);
  const IoStatus status = x.upstream.read(room, n);
  if (status == IoStatus::kBlocked) return true;
  progress = true;
  if (status == IoStatus::kEnded) {
    const char* why = n == 0 ? "closed without a whole answer" : std::strerror(errno);
    if (x.stage == Stage::kAwaitHead) {
      origin_failed(index, ipc::DialOutcome::kHandshake, why);
      return false;
    }
    if (n == 0 && x.body.framing == Framing::kUntilClose) {
      x.origin_keep_alive = false;
      body_done(index);
      return conns_[index].used;
    }
    origin_broke(index, EndReason::kOriginClosed, why);
    return false;
  }
  conn.last_move_ms = monotonic_ms();
  const ByteView bytes(read_buffer_.data(), static_cast<std::size_t>(n));
  if (x.stage != Stage::kAwaitHead) return take_body(index, bytes);
  x.in.insert(x.in.end(), bytes.begin(), bytes.end());
  return take_head(index);
}

bool HttpWorker::take_head(std::uint32_t index) {
  for (;;) {
    Exchange& x = *conns_[index].exchange;
    ResponseHead head;
    const ParseStatus status = x.parser.parse(as_text(x.in), x.method, head);
    if (status == ParseStatus::kNeedMore && x.in.size() < kHeadMax) return true;
    if (status != ParseStatus::kComplete) {
      origin_broke(index, EndReason::kOriginProtocol, to_string(x.parser.error()));
      return conns_[index].used;
    }
    if (head.is_interim()) {  // 100 Continue and its kin are for us
      x.in.erase(x.in.begin(), x.in.begin() + static_cast<std::ptrdiff_t>(head.consumed));
      continue;
    }
    const std::vector<std::uint8_t> bytes = std::move(x.in);  // the head is views into it
    x.in.clear();
    begin_response(index, head, ByteView(bytes).subspan(head.consumed));
    return conns_[index].used && conns_[index].relay == SpliceRelay::kNone;
  }
}

void HttpWorker::begin_response(std::uint32_t index, const ResponseHead& head, ByteView rest) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  x.status = head.status;
  x.body = head.body;
  x.left = head.body.length;
  // For live streams it was asked to close, and some send the stream even after a HEAD.
  x.origin_keep_alive =
      head.keep_alive && ends(head.body.framing) && x.kind != Kind::kLive && x.proxy_protocol == 0;
  x.deadline_ms = 0;
  const bool whole = head.status == 200 && !head.fields.has(HeaderId::kContentEncoding) &&
                     x.method == Method::kGet;
  if (whole && (x.kind == Kind::kPlaylist || x.kind == Kind::kManifest)) {
    x.stage = Stage::kCollect;
    HeadWriter writer(x.head_out);
    writer.response(200).copy_end_to_end(head.fields, kNotOfRewritten);
    if (config_.http.cors && !head.fields.has(HeaderId::kAccessControlAllowOrigin)) {
      writer.field(HeaderId::kAccessControlAllowOrigin, "*");
    }
    if (!writer.finish()) x.head_out.clear();
    x.deadline_ms = conn.last_move_ms + config_.http.answer_timeout;
    if (x.body.empty()) {
      body_done(index);
    } else {
      take_body(index, rest);
    }
    return;
  }
  // Chunks that a client of HTTP/1.0 could not read are taken apart here.
  const bool unchunk = x.http10 && x.body.framing == Framing::kChunked;
  const bool live = x.body.framing == Framing::kTunnel || x.body.framing == Framing::kUntilClose ||
                    (x.body.framing == Framing::kChunked && x.kind == Kind::kLive && !unchunk);
  if (live || unchunk) x.client_keep_alive = false;
  write_head(conn, head, unchunk ? Body{Framing::kUntilClose} : x.body, !x.client_keep_alive);
  if (live) {
    // The end of it is the connection's end, so nothing needs to be read on the way.
    x.stage = Stage::kHandOver;
    x.deadline_ms = monotonic_ms() + config_.http.stall_timeout;
    conn.mark.media = !rest.empty();
    conn.side.out.append(rest);
    if (x.body.framing == Framing::kTunnel && !conn.in.empty()) {
      x.upstream.out.append(ByteView(conn.in));
      conn.in.clear();
    }
    return;
  }
  x.stage = Stage::kBody;
  if (x.body.empty()) {
    body_done(index);
  } else {
    take_body(index, rest);
  }
}

void HttpWorker::write_head(HttpConn& conn, const ResponseHead& head, const Body& body,
                            bool close) {
  Exchange& x = *conn.exchange;
  std::string out;
  HeadWriter writer(out);
  writer.response(head.status, head.reason);
  FieldSet skip;
  const std::string_view location = head.fields.get(HeaderId::kLocation);
  std::string moved;
  for (const bool by_name : {false, true}) {
    if (location.empty() || x.identity.host.empty()) break;
    const std::string ours =
        "://" + (by_name ? with_port_of(x.sent_host, x.endpoint) : to_string(x.endpoint)) + "/";
    // Either scheme: an origin behind TLS may not know that it is.
    const std::string_view scheme = location.substr(0, location.find(ours));
    if (scheme != "http" && scheme != "https") continue;
    moved = x.identity.base_url() + std::string(location.substr(scheme.size() + ours.size() - 1));
    skip = FieldSet{HeaderId::kLocation};
    break;
  }
  // What GET would give is rewritten, so neither its length nor its tag is the origin's.
  const bool rewritten = x.method == Method::kHead && head.status == 200 &&
                         (x.kind == Kind::kPlaylist || x.kind == Kind::kManifest);
  if (rewritten) skip = skip | kNotOfRewritten;
  writer.copy_end_to_end(head.fields, skip);
  if (!moved.empty()) writer.field(HeaderId::kLocation, moved);
  if (config_.http.cors && !head.fields.has(HeaderId::kAccessControlAllowOrigin)) {
    writer.field(HeaderId::kAccessControlAllowOrigin, "*");
  }
  if (body.framing == Framing::kTunnel) {
    writer.field(HeaderId::kConnection, "Upgrade");
    writer.field(HeaderId::kUpgrade, head.fields.get(HeaderId::kUpgrade));
  } else if (close) {
    writer.field(HeaderId::kConnection, "close");
  } else if (x.http10) {
    writer.field(HeaderId::kConnection, "keep-alive");
  }
  // A response to HEAD, and a 304, say a length that no body has.
  Body said = body;
  if (head.content_length && !rewritten && body.framing != Framing::kTunnel)
    said = {Framing::kLength, *head.content_length};
  writer.body(said);
  if (!writer.finish()) {
    x.client_keep_alive = false;
    out = "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  }
  x.head_sent = true;
  conn.side.out.append(out);
}

// Body bytes of kBody and kCollect. False when the connection has ended.
bool HttpWorker::take_body(std::uint32_t index, ByteView bytes) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  const auto keep = [&](ByteView data) {
    if (x.stage == Stage::kCollect) {
      x.collected.insert(x.collected.end(), data.begin(), data.end());
    } else {
      conn.side.out.append(data);
    }
  };
  if (x.body.framing == Framing::kLength) {
    const std::size_t mine =
        static_cast<std::size_t>(std::min<std::uint64_t>(x.left, bytes.size()));
    keep(bytes.first(mine));
    x.left -= mine;
    if (bytes.size() > mine) x.origin_keep_alive = false;  // it talks out of turn
    if (x.left == 0) body_done(index);
  } else if (x.body.framing == Framing::kChunked) {
    ByteView rest = bytes;
    for (;;) {
      ByteView data;
      const ParseStatus status = x.chunked.next(rest, data);
      if (status == ParseStatus::kInvalid) {
        origin_broke(index, EndReason::kOriginProtocol, to_string(x.chunked.error()));
        return conns_[index].used;
      }
      if ((x.stage == Stage::kCollect || x.http10) && !data.empty()) keep(data);
      if (status == ParseStatus::kNeedMore || x.chunked.done()) break;
    }
    if (x.stage == Stage::kBody && !x.http10)
      keep(bytes.first(bytes.size() - rest.size()));  // as it came
    if (x.chunked.done()) {
      if (!rest.empty()) x.origin_keep_alive = false;
      body_done(index);
    }
  } else {
    keep(bytes);
  }
  if (conns_[index].used && conns_[index].exchange &&
      conns_[index].exchange->collected.size() > config_.http.playlist_max) {
    origin_broke(index, EndReason::kOriginProtocol, "playlist larger than http.playlist_max");
  }
  return conns_[index].used;
}

void HttpWorker::body_done(std::uint32_t index) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  // Not one that has yet to take the rest of this request.
  if (x.origin_keep_alive && x.upstream.out.empty()) {
    pool_.give_back(x.endpoint, {std::move(x.upstream.fd), std::move(x.upstream.tls)},
                    conn.last_move_ms);  // its last byte came just now
  }
  x.upstream = Side{};
  if (x.stage == Stage::kCollect) finish_playlist(index);
  x.stage = Stage::kAnswered;
}

void HttpWorker::finish_playlist(std::uint32_t index) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  const std::string endpoint = to_string(x.endpoint);
  const std::array<std::string_view, 2> authorities{endpoint, x.sent_host};
  hls::RewriteOptions options;
  options.path = x.path;
  options.authorities = authorities;
  options.pin_name = route::kHintParameter;
  options.pin_for = [&](std::string_view scope) { return hints_.of(x.endpoint, scope); };
  options.carry_query = true;
  std::string carried = x.query;
  if (!x.stem.empty()) append_param(carried, kHookStemParameter, x.stem);
  options.query = carried;
  options.max_input = config_.http.playlist_max;
  std::string& body = rewritten_;
  const hls::RewriteStatus status = x.kind == Kind::kPlaylist
                                        ? hls::rewrite_playlist(x.collected, options, body)
                                        : dash::rewrite_mpd(x.collected, options, body);
  if (status == hls::RewriteStatus::kNotAPlaylist) body = as_text(x.collected);
  x.collected.clear();
  if (x.head_out.empty() ||
      (status != hls::RewriteStatus::kOk && status != hls::RewriteStatus::kNotAPlaylist)) {
    LogLine(LogLevel::kWarn, "playlist cannot be rewritten")
        .session(conn.id)
        .field("stream", x.key)
        .field("origin", origin_text(x.origin))
        .field("reason", hls::to_string(status));
    answer(index, {502, "text/plain; charset=utf-8", "the origin's playlist cannot be read\n"});
    return;
  }
  counters_.add(Counter::kHttpPlaylists);
  x.head_out.resize(x.head_out.size() - 2);  // without its empty line
  x.head_out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  if (!x.client_keep_alive) {
    x.head_out += "Connection: close\r\n";
  } else if (x.http10) {
    x.head_out += "Connection: keep-alive\r\n";
  }
  x.head_out += "\r\n";
  conn.side.out.append(x.head_out);
  conn.side.out.append(body);
  if (body.capacity() > kRewrittenKept) body = std::string();
  x.head_sent = true;
}

// A response of our own. REQUIRES: nothing of another one was sent.
void HttpWorker::answer(std::uint32_t index, const Answer& what) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  if (what.close || conn.client_eof) x.client_keep_alive = false;
  conn.discard = conn.discard || what.close;
  x.status = static_cast<std::uint16_t>(what.status);
  x.stage = Stage::kAnswered;
  x.deadline_ms = 0;
  std::string out;
  HeadWriter writer(out);
  writer.response(static_cast<unsigned>(what.status));
  if (!what.content_type.empty()) writer.field(HeaderId::kContentType, what.content_type);
  if (!what.location.empty()) writer.field(HeaderId::kLocation, what.location);
  if (!what.allow.empty()) writer.field(HeaderId::kAllow, what.allow);
  if (what.fields != nullptr) {
    for (const auto& [name, value] : *what.fields) writer.field(name, value);
  } else if (config_.http.cors) {
    writer.field(HeaderId::kAccessControlAllowOrigin, "*");
    if (x.method == Method::kOptions) {
      writer.field("Access-Control-Allow-Methods",
                   conn.api ? "GET, HEAD, DELETE, OPTIONS" : "GET, HEAD, OPTIONS");
      writer.field("Access-Control-Allow-Headers", "*");
      writer.field("Access-Control-Max-Age", "86400");
    }
  }
  if (what.fields == nullptr) {
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
}

// The origin's response is not usable. Before the client has any of it there is a 502.
void HttpWorker::origin_broke(std::uint32_t index, EndReason reason, std::string_view why) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  LogLine(LogLevel::kWarn, "origin broke off or broke the protocol")
      .session(conn.id)
      .field("stream", x.key)
      .field("origin", origin_text(x.origin))
      .field("client", to_string(x.identity.client))
      .field("reason", why);
  x.upstream = Side{};
  x.collected.clear();
  if (!x.head_sent) {
    answer(index, {502, "text/plain; charset=utf-8", "the origin's answer cannot be read\n"});
    pump(index);
    return;
  }
  std::size_t moved = 0;
  conn.side.flush(moved);  // what came before the break, as far as the client takes it at once
  note_sent(conn, moved);
  end(index, reason);
}

// The response is written: the next request, or the end.
void HttpWorker::finish_exchange(std::uint32_t index, EndReason reason) {
  HttpConn& conn = conns_[index];
  const bool again = conn.exchange->client_keep_alive && !conn.client_eof && !drain_.begun();
  log_exchange(conn, reason);
  tell_stop(conn);
  conn.exchange.reset();
  if (!again) {
    conn.closing = true;
    return;
  }
  conn.between_requests = conn.in.empty();
  conn.deadline_ms = monotonic_ms() + (conn.between_requests ? config_.http.keepalive_timeout
                                                             : config_.http.request_timeout);
}

void HttpWorker::start_relay(std::uint32_t index) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  poller_.remove(conn.side.fd.get());
  poller_.remove(x.upstream.fd.get());
  SpliceRelay::Peer client(std::move(conn.side.fd), std::move(conn.side.tls));
  SpliceRelay::Peer origin(std::move(x.upstream.fd), std::move(x.upstream.tls));
  conn.key = std::move(x.key);
  conn.origin = x.origin;
  ipc::SessionOpen open;
  open.session = conn.id;
  open.origin = conn.origin;
  open.client = x.identity.client;
  open.protocol = ipc::EndpointKind::kHttp;
  open.role = ipc::Role::kPlayer;
  open.key.assign(conn.key);
  link_.send(open);
  counters_.add(Counter::kHttpLive);
  counters_.add(Counter::kHttpLiveTotal);
  LogLine(LogLevel::kInfo, "player connected")
      .session(conn.id)
      .field("stream", conn.key)
      .field("origin", origin_text(conn.origin))
      .field("client", to_string(x.identity.client))
      .field("path", x.path)
      .field("setup_ms", monotonic_ms() - conn.mark.started_ms);
  conn.client = x.identity.client;
  conn.mark.status = x.status;
  if (conn.mark.texts) conn.mark.texts->origin = used_origin_text(x);
  conn.exchange.reset();
  conn.in = {};
  conn.side = Side{};
  untrack(index);
  conn.relay = relay_.start(std::move(client), std::move(origin), index);
}

}  // namespace weir::http
