// StreamDial: what OriginDialer does not know of a stream's request on its way to an origin: the
// hint that pins it to one, the kept-alive connections, and that an origin which closes before its
// first byte may mean this one request. A stream that nobody knows goes to OriginSearch. Puts the
// request into the connection's output, whose bytes are StreamRoom's from there on. Owner:
// StreamRoom. An exchange that cannot be connected is answered here.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "common/route/origin_hint.h"
#include "ipc/messages.h"
#include "workers/core/origin_dialer.h"
#include "workers/core/origin_text.h"
#include "workers/http/http_process.h"
#include "workers/http/origin_search.h"
#include "workers/http/stream_exchange.h"
#include "workers/http/upstream_pool.h"

namespace weir::http {

class StreamDial {
 public:
  // `room`: whose exchanges these are.
  StreamDial(const Process& process, const Room& room);

  // Whether the hint names an origin that is there and up; then x.origin is it.
  bool pin(StreamExchange& x, std::string_view hint);
  // Begins.
  void route(std::uint32_t index);
  void on_route_answer(const ipc::RouteAnswer& message) { dialer_.on_route_answer(message); }
  void on_ready(std::uint64_t token, std::uint32_t events);
  // No whole head of a response has come, and none will: the same origin on a new connection,
  // another origin, or the end.
  void broke_off(std::uint32_t index, std::string_view why);
  // The origin has answered, or the exchange ends: no other origin is asked.
  void settle(std::uint32_t index);
  // The origin has answered that it has no such stream, and the answer is here from its first byte
  // on. True: others are asked, since only a guess has led there.
  bool search_on(std::uint32_t index, ByteView answer);
  // The origin is silent, as some are until a publisher comes: when that has come elsewhere the
  // player goes there.
  void follow_publisher(std::uint32_t index);

  // The origin has sent its last byte, and its connection can take another request.
  void give_back(StreamExchange& x, std::uint64_t now_ms);
  // The socket leaves for the relay.
  void release(const Side& upstream) { process_.server.events().remove(upstream.fd.get()); }
  void sweep(std::uint64_t now_ms);
  void drop_idle() { pool_.clear(); }
  // Connections beside one for each client.
  std::size_t spare() const { return pool_.size() + search_.connections(); }

  std::string origin_text(const StreamExchange& x) const {
    return weir::origin_text(process_.state, x.origin, x.endpoint);
  }

 private:
  OriginDialer::Handlers handlers();
  StreamExchange& exchange(std::uint32_t index) {
    return static_cast<StreamExchange&>(*process_.server[index].exchange);
  }
  void dial(std::uint32_t index, std::optional<ipc::OriginRef> known,
            std::span<const ipc::OriginRef> tried);
  void on_outcome(std::uint32_t index, OriginSearch::Outcome&& outcome);
  void forget_origin(StreamExchange& x);
  bool usable(StreamExchange& x, ipc::OriginRef origin, std::uint64_t fingerprint) const;
  void on_step(std::uint32_t index, const OriginDialer::Step& step);
  void on_open(StreamExchange& x, const OriginDialer::Step& step);
  void refuse(std::uint32_t index, const OriginDialer::Step& step);
  bool take_idle(std::uint32_t index, const Endpoint& endpoint, Side& into);

  Process process_;
  const Room& room_;
  UpstreamPool pool_;
  OriginDialer dialer_;
  OriginSearch search_;
  std::unordered_map<std::uint64_t, ipc::OriginRef> fingerprints_;  // found once, checked each time
};

}  // namespace weir::http
