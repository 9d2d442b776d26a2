// StreamDial: finds the origin of a stream's request and a connection to it: by hint, from shared
// memory, or by asking the master; a kept-alive connection or a new one; another origin when one
// fails. Puts the request into the connection's output, whose bytes are StreamRoom's from there on.
// Owner: StreamRoom. An exchange that cannot be connected is answered here.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/route/origin_hint.h"
#include "ipc/messages.h"
#include "workers/http/http_process.h"
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
  void on_route_answer(const ipc::RouteAnswer& message);
  void on_ready(std::uint64_t token, std::uint32_t events);
  // No byte of a response has come: the same origin on a new connection, another origin, or the
  // end.
  void failed(std::uint32_t index, ipc::DialOutcome outcome, std::string_view error);
  // The exchange ends: what is under way for it is forgotten.
  void cancel(StreamExchange& x);

  // The origin has sent its last byte, and its connection can take another request.
  void give_back(StreamExchange& x, std::uint64_t now_ms);
  // The socket leaves for the relay.
  void release(const Side& upstream) { process_.server.events().remove(upstream.fd.get()); }
  void sweep(std::uint64_t now_ms) { pool_.sweep(now_ms); }
  void drop_idle() { pool_.clear(); }
  std::size_t idle() const { return pool_.size(); }

  std::string origin_text(ipc::OriginRef origin) const;
  // With the endpoint that was used.
  std::string used_origin_text(const StreamExchange& x) const;

 private:
  StreamExchange& exchange(std::uint32_t index);
  bool usable(StreamExchange& x, ipc::OriginRef origin, std::uint64_t fingerprint) const;
  void ask_master(std::uint32_t index);
  void dial(std::uint32_t index, ipc::OriginRef origin, bool fresh);
  void dial_anew(std::uint32_t index);
  void send_request(StreamExchange& x) const;
  std::vector<std::uint8_t> proxy_header_of(std::uint32_t index);
  void on_connected(std::uint32_t index);
  bool shake(std::uint32_t index);
  void report(ipc::OriginRef origin, ipc::DialOutcome outcome);

  Process process_;
  const Room& room_;
  UpstreamPool pool_;
  std::unordered_map<std::uint32_t, std::uint32_t> route_requests_;  // request -> connection
  std::unordered_map<std::uint64_t, ipc::OriginRef> fingerprints_;  // found once, checked each time
};

}  // namespace weir::http
