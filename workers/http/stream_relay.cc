// StreamRoom: live streams, from the last byte of the head on.
#include <utility>

#include "common/base/clock.h"
#include "workers/http/stream_room.h"

namespace weir::http {

using ipc::Counter;

void StreamRoom::start_relay(std::uint32_t index) {
  Connection& conn = server_[index];
  StreamExchange& x = exchange(index);
  dial_.release(x.upstream);
  Side side = server_.detach(index);
  SpliceRelay::Peer client(std::move(side.fd), std::move(side.tls));
  SpliceRelay::Peer origin(std::move(x.upstream.fd), std::move(x.upstream.tls));
  ipc::SessionOpen open;
  open.session = conn.id;
  open.origin = x.origin;
  open.client = x.identity.client;
  open.protocol = ipc::EndpointKind::kHttp;
  open.role = ipc::Role::kPlayer;
  open.key.assign(x.key);
  process_.link.send(open);
  process_.counters.add(Counter::kHttpLive);
  process_.counters.add(Counter::kHttpLiveTotal);
  LogLine(LogLevel::kInfo, "player connected")
      .session(conn.id)
      .field("stream", x.key)
      .field("origin", [&] { return dial_.origin_text(x); })
      .field("client", x.identity.client)
      .field("path", x.path)
      .field("setup_ms", monotonic_ms() - conn.mark.started_ms);
  conn.mark.media = true;
  if (conn.mark.texts) conn.mark.texts->origin = dial_.origin_text(x);
  const ipc::OriginRef at = x.origin;
  auto stop = std::move(x.stop);
  auto live = std::make_unique<LiveExchange>(std::move(static_cast<Exchange&>(x)));
  live->origin = at;
  live->stop = std::move(stop);
  live->relay = relay_.start(std::move(client), std::move(origin), index);
  conn.exchange = std::move(live);
}

void StreamRoom::on_live_end(Connection& conn) {
  auto& live = static_cast<LiveExchange&>(*conn.exchange);
  relay_.stop(live.relay);
  process_.counters.sub(Counter::kHttpLive);
  ipc::SessionClose close;
  close.session = conn.id;
  process_.link.send(close);
  if (live.stop) process_.hooks.tell(*live.stop);
}

}  // namespace weir::http
