// StreamRoom, from the origin's response to the client.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/clock.h"
#include "common/proto/dash/mpd.h"
#include "common/proto/hls/playlist.h"
#include "common/proto/http/head_writer.h"
#include "common/proto/http/target.h"
#include "workers/http/stream_room.h"

namespace weir::http {
namespace {

using ipc::Counter;

constexpr std::string_view kText = "text/plain; charset=utf-8";

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

void write_cors(HeadWriter& writer, const Fields& theirs, CorsMode mode, const Exchange& x) {
  put_cors(mode, x.cors.get(), theirs.has(HeaderId::kAccessControlAllowOrigin),
           [&](std::string_view name, std::string_view value) { writer.field(name, value); });
}

// Compressed, although Weir asks for none: some servers do (`gzip_static always`).
bool is_encoded(const Fields& fields) {
  const std::string_view coding = fields.get(HeaderId::kContentEncoding);
  return !coding.empty() && !same_ignoring_case(coding, "identity");
}

bool ends(Framing framing) {
  return framing != Framing::kUntilClose && framing != Framing::kTunnel;
}

}  // namespace

void StreamRoom::read_origin(std::uint32_t index, bool& progress) {
  Connection& conn = server_[index];
  StreamExchange& x = exchange(index);
  const bool wants = x.stage == StreamStage::kAwaitHead || x.stage == StreamStage::kBody ||
                     x.stage == StreamStage::kCollect;
  if (!wants || !x.upstream.fd || (!x.upstream.readable && x.in_pipe == 0)) return;
  if (splices(index)) {
    splice_body(index, progress);
    return;
  }
  if (conn.side.out.pending() >= kOutMax) return;
  compact(conn.side.out);
  ssize_t n = 0;
  MutableBytes room = server_.scratch();
  // Of what will be spliced, little more than the head is to be copied.
  if (x.stage == StreamStage::kAwaitHead && x.kind == StreamKind::kPass && !x.upstream.tls)
    room = room.first(kHeadRead);
  const IoStatus status = x.upstream.read(room, n);
  if (status == IoStatus::kBlocked) return;
  progress = true;
  if (status == IoStatus::kEnded) {
    on_origin_end(index, n == 0);
    return;
  }
  conn.last_move_ms = monotonic_ms();
  const ByteView bytes = room.first(static_cast<std::size_t>(n));
  if (x.stage != StreamStage::kAwaitHead) {
    take_body(index, bytes);
    return;
  }
  x.in.insert(x.in.end(), bytes.begin(), bytes.end());
  take_head(index);
}

void StreamRoom::on_origin_end(std::uint32_t index, bool in_order) {
  StreamExchange& x = exchange(index);
  const char* why = in_order ? "closed without a whole answer" : std::strerror(errno);
  if (x.stage == StreamStage::kAwaitHead) {
    dial_.broke_off(index, why);
  } else if (in_order && x.body.framing == Framing::kUntilClose) {
    x.origin_keep_alive = false;
    body_done(index);
  } else {
    origin_broke(index, EndReason::kOriginClosed, why);
  }
}

void StreamRoom::take_head(std::uint32_t index) {
  StreamExchange& x = exchange(index);
  for (;;) {
    ResponseHead head;
    const ParseStatus status = x.parser.parse(as_text(x.in), x.method, head);
    if (status == ParseStatus::kNeedMore && x.in.size() < kHeadMax) return;
    if (status != ParseStatus::kComplete) {
      origin_broke(index, EndReason::kOriginProtocol, to_string(x.parser.error()));
      return;
    }
    if (head.is_interim()) {  // 100 Continue and its kin are for us
      x.in.erase(x.in.begin(), x.in.begin() + static_cast<std::ptrdiff_t>(head.consumed));
      continue;
    }
    const std::vector<std::uint8_t> bytes = std::exchange(x.in, {});  // the head is views into it
    const bool absent = head.status == 404 || head.status == 410;
    if (absent && dial_.search_on(index, ByteView(bytes))) return;
    begin_response(index, head, ByteView(bytes).subspan(head.consumed));
    return;
  }
}

void StreamRoom::begin_response(std::uint32_t index, const ResponseHead& head, ByteView rest) {
  StreamExchange& x = exchange(index);
  x.status = head.status;
  x.body = head.body;
  x.left = head.body.length;
  // For live streams it was asked to close, and some send the stream even after a HEAD.
  x.origin_keep_alive =
      head.keep_alive && ends(head.body.framing) && x.kind != StreamKind::kLive && !x.proxied;
  x.deadline_ms = 0;
  dial_.settle(index);
  const bool playlist = x.kind == StreamKind::kPlaylist || x.kind == StreamKind::kManifest;
  if (playlist && head.status == 200 && x.method == Method::kGet) {
    if (is_encoded(head.fields)) {
      // Passed on it would lead the viewer to other origins, or to addresses of the inner network.
      const std::string coding(head.fields.get(HeaderId::kContentEncoding));
      origin_broke(index, EndReason::kOriginProtocol,
                   "a playlist with Content-Encoding " + coding + ", which nobody asked for");
    } else {
      begin_playlist(index, head, rest);
    }
    return;
  }
  // Chunks that a client of HTTP/1.0 could not read are taken apart here.
  const bool unchunk = x.http10 && x.body.framing == Framing::kChunked;
  const bool live =
      x.body.framing == Framing::kTunnel || x.body.framing == Framing::kUntilClose ||
      (x.body.framing == Framing::kChunked && x.kind == StreamKind::kLive && !unchunk);
  if (live || unchunk) x.client_keep_alive = false;
  write_head(index, head, unchunk ? Body{Framing::kUntilClose} : x.body);
  if (live) {
    hand_over(index, rest);
    return;
  }
  x.stage = StreamStage::kBody;
  if (x.body.empty()) {
    body_done(index);
  } else {
    take_body(index, rest);
  }
}

void StreamRoom::begin_playlist(std::uint32_t index, const ResponseHead& head, ByteView rest) {
  StreamExchange& x = exchange(index);
  x.stage = StreamStage::kCollect;
  HeadWriter writer(x.head_out);
  const CorsMode cors = server_[index].port->cors;
  writer.response(200).copy_end_to_end(
      head.fields, kNotOfRewritten | cors_replaced(cors) | FieldSet{HeaderId::kContentEncoding});
  write_cors(writer, head.fields, cors, x);
  if (!writer.finish()) x.head_out.clear();
  x.deadline_ms = server_[index].last_move_ms + process_.config.http.answer_timeout;
  if (x.body.empty()) {
    body_done(index);
  } else {
    take_body(index, rest);
  }
}

// The end of it is the connection's end, so nothing needs to be read on the way.
void StreamRoom::hand_over(std::uint32_t index, ByteView rest) {
  Connection& conn = server_[index];
  StreamExchange& x = exchange(index);
  x.stage = StreamStage::kHandOver;
  x.takes_input = false;
  x.deadline_ms = monotonic_ms() + process_.config.http.stall_timeout;
  conn.mark.media = !rest.empty();
  conn.side.out.append(rest);
  if (x.body.framing == Framing::kTunnel && !conn.in.empty()) {
    x.upstream.out.append(ByteView(conn.in));
    conn.in.clear();
  }
}

void StreamRoom::write_head(std::uint32_t index, const ResponseHead& head, const Body& body) {
  StreamExchange& x = exchange(index);
  std::string out;
  HeadWriter writer(out);
  writer.response(head.status, head.reason);
  FieldSet skip;
  const CorsMode cors = server_[index].port->cors;
  skip = skip | cors_replaced(cors);
  std::vector<std::pair<HeaderId, std::string>> moved;
  for (const HeaderId id : {HeaderId::kLocation, HeaderId::kContentLocation}) {
    if (!head.fields.has(id)) continue;
    skip = skip | FieldSet{id};
    moved.emplace_back(id, lead_here(x, head.fields.get(id)));
  }
  // What GET would give is rewritten, so neither its length nor its tag is the origin's.
  const bool rewritten = x.method == Method::kHead && head.status == 200 &&
                         (x.kind == StreamKind::kPlaylist || x.kind == StreamKind::kManifest);
  if (rewritten) skip = skip | kNotOfRewritten;
  writer.copy_end_to_end(head.fields, skip);
  for (const auto& [id, value] : moved) writer.field(id, value);
  write_cors(writer, head.fields, cors, x);
  if (body.framing == Framing::kTunnel) {
    writer.field(HeaderId::kConnection, "Upgrade");
    writer.field(HeaderId::kUpgrade, head.fields.get(HeaderId::kUpgrade));
  } else if (!x.client_keep_alive) {
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
  server_[index].side.out.append(out);
}

void StreamRoom::keep(std::uint32_t index, ByteView data) {
  StreamExchange& x = exchange(index);
  if (x.stage == StreamStage::kCollect) {
    x.collected.insert(x.collected.end(), data.begin(), data.end());
  } else {
    server_[index].side.out.append(data);
  }
}

// Body bytes of kBody and kCollect.
void StreamRoom::take_body(std::uint32_t index, ByteView bytes) {
  StreamExchange& x = exchange(index);
  if (x.body.framing == Framing::kLength) {
    const auto mine = static_cast<std::size_t>(std::min<std::uint64_t>(x.left, bytes.size()));
    keep(index, bytes.first(mine));
    x.left -= mine;
    if (bytes.size() > mine) x.origin_keep_alive = false;  // it talks out of turn
    if (x.left == 0) {
      body_done(index);
      return;
    }
  } else if (x.body.framing != Framing::kChunked) {
    keep(index, bytes);
  } else if (!take_chunks(index, bytes)) {
    return;
  }
  if (x.collected.size() > process_.config.http.playlist_max) {
    origin_broke(index, EndReason::kOriginProtocol, "playlist larger than http.playlist_max");
  }
}

// False: that was the last one, or they cannot be read.
bool StreamRoom::take_chunks(std::uint32_t index, ByteView bytes) {
  StreamExchange& x = exchange(index);
  const bool apart = x.stage == StreamStage::kCollect || x.http10;
  ByteView rest = bytes;
  ParseStatus status = ParseStatus::kComplete;
  while (status == ParseStatus::kComplete && !x.chunked.done()) {
    ByteView data;
    status = x.chunked.next(rest, data);
    if (status == ParseStatus::kInvalid) {
      origin_broke(index, EndReason::kOriginProtocol, to_string(x.chunked.error()));
      return false;
    }
    if (apart && !data.empty()) keep(index, data);
  }
  if (!apart) keep(index, bytes.first(bytes.size() - rest.size()));  // as it came
  if (!x.chunked.done()) return true;
  if (!rest.empty()) x.origin_keep_alive = false;
  body_done(index);
  return false;
}

void StreamRoom::body_done(std::uint32_t index) {
  StreamExchange& x = exchange(index);
  // Not one that has yet to take the rest of this request.
  if (x.origin_keep_alive && x.upstream.out.empty()) {
    dial_.give_back(x, server_[index].last_move_ms);  // its last byte came just now
  }
  x.upstream = Side{};
  if (x.stage == StreamStage::kCollect) finish_playlist(index);
  x.answered = true;
}

void StreamRoom::finish_playlist(std::uint32_t index) {
  Connection& conn = server_[index];
  StreamExchange& x = exchange(index);
  const std::string endpoint = to_string(x.endpoint);
  const std::array<std::string_view, 2> authorities{endpoint, x.sent_host};
  hls::RewriteOptions options;
  options.path = x.path;
  options.authorities = authorities;
  options.pin_name = route::kHintParameter;
  options.pin_for = [&](std::string_view scope) { return hints_.of(x.endpoint, scope); };
  options.carry_query = true;
  options.query = x.query;
  std::string companion;
  if (!x.stem.empty()) append_param(companion, kHookStemParameter, x.stem);
  options.companion = companion;
  options.max_input = process_.config.http.playlist_max;
  std::string& body = rewritten_;
  const hls::RewriteStatus status = x.kind == StreamKind::kPlaylist
                                        ? hls::rewrite_playlist(x.collected, options, body)
                                        : dash::rewrite_mpd(x.collected, options, body);
  if (status == hls::RewriteStatus::kNotAPlaylist) body = as_text(x.collected);
  x.collected.clear();
  if (x.head_out.empty() ||
      (status != hls::RewriteStatus::kOk && status != hls::RewriteStatus::kNotAPlaylist)) {
    LogLine(LogLevel::kWarn, "playlist cannot be rewritten")
        .session(conn.id)
        .field("stream", x.key)
        .field("origin", dial_.origin_text(x))
        .field("reason", hls::to_string(status));
    server_.answer(index, {502, kText, "the origin's playlist cannot be read\n"});
    return;
  }
  process_.counters.add(Counter::kHttpPlaylists);
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

// The origin's response is not usable. Before the client has any of it there is a 502.
void StreamRoom::origin_broke(std::uint32_t index, EndReason reason, std::string_view why) {
  Connection& conn = server_[index];
  StreamExchange& x = exchange(index);
  LogLine(LogLevel::kWarn, "origin broke off or broke the protocol")
      .session(conn.id)
      .field("stream", x.key)
      .field("origin", dial_.origin_text(x))
      .field("client", x.identity.client)
      .field("reason", why);
  x.upstream = Side{};
  x.collected.clear();
  if (!x.head_sent) {
    server_.answer(index, {502, kText, "the origin's answer cannot be read\n"});
    return;
  }
  server_.flush_last(index);  // what came before the break, as far as the client takes it at once
  server_.end(index, reason);
}

}  // namespace weir::http
