// StreamRoom: from the request to StreamDial.
#include "workers/http/stream_room.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/ascii.h"
#include "common/base/clock.h"
#include "common/proto/http/head_writer.h"
#include "common/proto/http/target.h"
#include "common/route/http_target.h"
#include "ipc/alias_pick.h"

namespace weir::http {
namespace {

constexpr std::string_view kText = "text/plain; charset=utf-8";

StreamKind kind_of(std::string_view path) {
  const std::string_view extension = path_extension(path);
  if (extension == ".m3u8" || extension == ".m3u") return StreamKind::kPlaylist;
  if (extension == ".mpd") return StreamKind::kManifest;
  if (extension == ".flv" || extension == ".ts" || extension == ".aac" || extension == ".mp3") {
    return StreamKind::kLive;
  }
  return StreamKind::kPass;
}

bool holds(const std::vector<route::StreamKey>& keys, const route::StreamKey& key) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const route::StreamKey& each) { return each.text == key.text; });
}

}  // namespace

StreamRoom::StreamRoom(const Process& process)
    : process_(process),
      server_(process.server),
      dial_(process, *this),
      relay_(process.base, relay_settings(process.config.http),
             {[this](std::uint64_t owner, RelayEnd why) {
                server_.end(static_cast<std::uint32_t>(owner), reason_of(why));
              },
              [this](std::uint64_t owner, std::uint64_t up, std::uint64_t down) {
                server_.note_moved(static_cast<std::uint32_t>(owner), up, down);
              }}),
      hints_(process.hint_key) {}

bool StreamRoom::begin(std::uint32_t index, const RequestHead& head, Exchange& basics) {
  auto made = std::make_unique<StreamExchange>(std::move(basics));
  StreamExchange& x = *made;
  server_[index].exchange = std::move(made);
  // No other protocol: what goes through a tunnel is not looked at (HTTP/2 would be requests).
  x.upgrade = head.upgrade && head.method == Method::kGet &&
              same_ignoring_case(head.fields.get(HeaderId::kUpgrade), "websocket");
  if (answer_here(index, head)) return true;
  const route::OwnParams own = route::take_own_params(head.query, kHookStemParameter);
  route::HttpTarget target = route::read_http_target(head.host, head.path, own.rest);
  x.path = std::move(target.path);
  x.query = std::move(target.query);
  if (!target.error.empty()) {
    refuse_target(index, head, target.error);
    return true;
  }
  // Segments of playlists have the same extensions as live streams, and carry a hint.
  x.kind = target.by_query ? StreamKind::kLive : kind_of(x.path);
  if (head.method == Method::kOptions) x.kind = StreamKind::kPass;
  if (x.kind == StreamKind::kLive && !own.hint.empty()) x.kind = StreamKind::kPass;
  build_request(x, head);
  find_route(index, head, target.key, own);
  return true;
}

void StreamRoom::refuse_target(std::uint32_t index, const RequestHead& head, std::string_view why) {
  server_.note_refused(index, head.path, why);
  server_.answer(index, {400, kText, why});
}

// http.cors origin: it decides what pages of other sites may do.
bool StreamRoom::passes_options(std::uint32_t index, const RequestHead& head) {
  return server_[index].port->cors == CorsMode::kOrigin && head.body.empty() && !head.is_asterisk();
}

// Requests that no origin needs to see. True when it was answered.
bool StreamRoom::answer_here(std::uint32_t index, const RequestHead& head) {
  static constexpr std::string_view kAllowed = "GET, HEAD, OPTIONS";
  if (head.method == Method::kOptions && passes_options(index, head)) return false;
  if (head.method == Method::kOptions) {
    server_.answer(index, {204, {}, {}, kAllowed});
    return true;
  }
  if (!head.body.empty() || (head.method != Method::kGet && head.method != Method::kHead)) {
    // The body is not read, so the connection cannot go on.
    server_.answer(index,
                   {405, kText, "only GET, HEAD and OPTIONS here\n", kAllowed, !head.body.empty()});
    return true;
  }
  return false;
}

void StreamRoom::build_request(StreamExchange& x, const RequestHead& head) const {
  static constexpr FieldSet kNotPassed =
      kForwardingFields | FieldSet{HeaderId::kHost, HeaderId::kExpect};
  x.sent_host = route::canonical_host(head.host);
  const std::string with_query = x.query.empty() ? std::string() : x.path + "?" + x.query;
  HeadWriter writer(x.request);
  FieldSet skip = kNotPassed;
  // A playlist is rewritten here, so it must come whole and readable.
  if (x.kind == StreamKind::kPlaylist || x.kind == StreamKind::kManifest) {
    skip = skip | FieldSet{HeaderId::kAcceptEncoding, HeaderId::kRange, HeaderId::kIfRange,
                           HeaderId::kIfNoneMatch, HeaderId::kIfModifiedSince};
  }
  writer.request(head.method_text, x.query.empty() ? x.path : with_query);
  if (!x.sent_host.empty()) writer.field(HeaderId::kHost, x.sent_host);
  writer.copy_end_to_end(head.fields, skip);
  write_forwarding(writer, x.identity);
  if (x.upgrade) {
    writer.field(HeaderId::kConnection, "Upgrade");
    writer.field(HeaderId::kUpgrade, head.fields.get(HeaderId::kUpgrade));
  } else {
    writer.field(HeaderId::kConnection, x.kind == StreamKind::kLive ? "close" : "keep-alive");
  }
  if (!writer.finish()) x.request.clear();
  // A client of HTTP/1.0 cannot read chunks, so its origin must not send any.
  if (x.http10) {
    const std::size_t version = x.request.find("HTTP/1.1\r\n");
    if (version != std::string::npos) x.request[version + 7] = '0';
  }
}

// The stream that a request means by the operator's rules, which are asked with what its target
// names; with more than one in doubt, all of them are judged.
route::StreamKey StreamRoom::meant_key(StreamExchange& x, const route::StreamKey& named) const {
  if (process_.aliases.empty()) return named;
  route::AliasFound found = process_.aliases.of_http(x.sent_host, x.path, x.query, named);
  if (found.keys.empty()) return named;
  x.aliased = true;
  if (!found.keys.front().ok()) return std::move(found.keys.front());
  const bool by_itself = named.ok() && holds(found.keys, named);
  std::optional<ipc::OriginRef> at;
  if (x.pinned) at = x.origin;
  ipc::PickedStream picked = ipc::pick_stream(process_.state, std::move(found.keys), at);
  x.to_judge = std::move(picked.also);
  // What the path says by itself may be a stream of its own: `/live/cam-1.ts`.
  if (by_itself && picked.key.text != named.text && !holds(x.to_judge, named)) {
    x.to_judge.push_back(named);
  }
  return std::move(picked.key);
}

// A hint comes before the key: what a playlist has named may have a path that names no stream.
void StreamRoom::find_route(std::uint32_t index, const RequestHead& head,
                            const route::StreamKey& named, const route::OwnParams& own) {
  StreamExchange& x = exchange(index);
  if (x.request.empty()) {
    server_.answer(index, {400, kText, "request cannot be passed on\n", {}, true});
    return;
  }
  x.pinned = !own.hint.empty() && dial_.pin(x, own.hint);
  const route::StreamKey key = meant_key(x, named);
  const bool asks = head.method != Method::kOptions;  // a preflight plays nothing
  const bool judged = asks && process_.hooks.wants(HookAction::kPlay);
  if (!key.ok() && (!x.pinned || judged)) {
    server_.answer(index, {404, kText, route::to_string(key.error)});
    return;
  }
  x.key = key.text;
  if (!key.ok() || !asks || !ask_hook(index, head, key, own.companion)) dial_.route(index);
}

void StreamRoom::serve(std::uint32_t index, bool& progress) {
  StreamExchange& x = exchange(index);
  if (x.stage == StreamStage::kDialing || x.stage == StreamStage::kSearching) return;
  if (x.stage == StreamStage::kFound) {
    server_[index].last_move_ms = monotonic_ms();
    progress = true;
    take_head(index);
    return;
  }
  std::size_t moved = 0;
  if (x.upstream.flush(moved) == IoStatus::kEnded) {
    // An origin that closes may have said why: what it sent is read below.
    x.upstream.out.clear();
    x.upstream.readable = true;
  }
  progress = progress || moved > 0;
  if (x.stage != StreamStage::kHandOver) {
    read_origin(index, progress);
  } else if (server_[index].side.out.empty() && x.upstream.out.empty()) {
    start_relay(index);
  }
}

void StreamRoom::check_time(std::uint32_t index, std::uint64_t now_ms) {
  const Connection& conn = server_[index];
  StreamExchange& x = exchange(index);
  const bool waits = !conn.side.out.empty() || x.output_waits;
  if (x.stage == StreamStage::kBody && !waits &&
      now_ms >= conn.last_move_ms + process_.config.http.answer_timeout) {
    origin_broke(index, EndReason::kOriginTimeout, "no more of the answer within answer_timeout");
    return;
  }
  if (x.stage == StreamStage::kAwaitHead && x.in.empty()) dial_.follow_publisher(index);
  if (x.deadline_ms == 0 || now_ms < x.deadline_ms) return;
  switch (x.stage) {
    case StreamStage::kAwaitHead:
    case StreamStage::kCollect:
    case StreamStage::kBody:
      // A slow answer says nothing of the origin's health: a playlist request may be meant to wait.
      x.upstream = Side{};
      server_.answer(index, {504, kText, "the origin did not answer in time\n"});
      break;
    case StreamStage::kHandOver:  // the origin does not take what the client sent after its upgrade
      server_.end(index, EndReason::kStalled);
      break;
    case StreamStage::kAsking:  // HookClient, OriginSearch, OriginDialer have their own deadlines
    case StreamStage::kSearching:
    case StreamStage::kFound:
    case StreamStage::kDialing:
      break;
  }
}

void StreamRoom::on_end(std::uint32_t index, EndReason) {
  Connection& conn = server_[index];
  if (conn.detached) {
    on_live_end(conn);
    return;
  }
  StreamExchange& x = exchange(index);
  dial_.settle(index);
  if (x.hook != 0) process_.hooks.cancel(x.hook);
  if (conn.mark.texts) conn.mark.texts->origin = dial_.origin_text(x);
  if (x.stop) process_.hooks.tell(*x.stop);
}

void StreamRoom::sweep(std::uint64_t now_ms) {
  relay_.sweep(now_ms);
  dial_.sweep(now_ms);
}

}  // namespace weir::http
