// StreamRoom: requests for streams, playlists, segments and other files of the origins. Finds the
// origin of the stream that a request names, passes the request on, and the response back: live
// streams through the SpliceRelay, playlists rewritten so that their segments come back to the same
// origin, everything else as it is. Owner: HttpWorker. docs/HTTP.md follows a request through it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/route/http_target.h"
#include "common/route/origin_hint.h"
#include "common/route/stream_key.h"
#include "workers/core/http_room.h"
#include "workers/core/pipe_pool.h"
#include "workers/core/splice_relay.h"
#include "workers/http/http_process.h"
#include "workers/http/stream_dial.h"
#include "workers/http/stream_exchange.h"

namespace weir::http {

class StreamRoom : public Room {
 public:
  explicit StreamRoom(const Process& process);

  bool begin(std::uint32_t index, const RequestHead& head, Exchange& basics) override;
  void serve(std::uint32_t index, bool& progress) override;
  void check_time(std::uint32_t index, std::uint64_t now_ms) override;
  void on_end(std::uint32_t index, EndReason reason) override;

  void on_route_answer(const ipc::RouteAnswer& message) { dial_.on_route_answer(message); }
  // Of a connection to an origin.
  void on_event(std::uint64_t token, std::uint32_t events) { dial_.on_ready(token, events); }
  // About once a second.
  void sweep(std::uint64_t now_ms);
  // Connections to origins beside one for each client.
  std::size_t spare_upstreams() const { return dial_.spare(); }
  void drop_idle_upstreams() { dial_.drop_idle(); }

 private:
  StreamExchange& exchange(std::uint32_t index) {
    return static_cast<StreamExchange&>(*server_[index].exchange);
  }

  // stream_room.cc: the request
  bool passes_options(std::uint32_t index, const RequestHead& head);
  bool answer_here(std::uint32_t index, const RequestHead& head);
  void build_request(StreamExchange& x, const RequestHead& head) const;
  void refuse_target(std::uint32_t index, const RequestHead& head, std::string_view why);
  route::StreamKey meant_key(StreamExchange& x, const route::StreamKey& named) const;
  void find_route(std::uint32_t index, const RequestHead& head, const route::StreamKey& named,
                  const route::OwnParams& own);

  // stream_hooks.cc: the operator's own server
  bool ask_hook(std::uint32_t index, const RequestHead& head, const route::StreamKey& key,
                std::string_view stem);
  void ask_next(std::uint32_t index, HookEvent event);
  void on_verdict(std::uint32_t index, const HookEvent& event, const HookVerdict& verdict);

  // stream_response.cc: from the origin to the client
  void read_origin(std::uint32_t index, bool& progress);
  void on_origin_end(std::uint32_t index, bool in_order);
  void take_head(std::uint32_t index);
  void begin_response(std::uint32_t index, const ResponseHead& head, ByteView rest);
  void begin_playlist(std::uint32_t index, const ResponseHead& head, ByteView rest);
  void hand_over(std::uint32_t index, ByteView rest);
  void write_head(std::uint32_t index, const ResponseHead& head, const Body& body);
  void take_body(std::uint32_t index, ByteView bytes);
  bool take_chunks(std::uint32_t index, ByteView bytes);
  void keep(std::uint32_t index, ByteView data);
  void body_done(std::uint32_t index);
  void finish_playlist(std::uint32_t index);
  void origin_broke(std::uint32_t index, EndReason reason, std::string_view why);

  // stream_location.cc: redirects
  std::string lead_here(const StreamExchange& x, std::string_view location);

  // stream_relay.cc: live streams, inside the kernel
  void start_relay(std::uint32_t index);
  void on_live_end(Connection& conn);

  // stream_splice.cc: long bodies, inside the kernel
  bool splices(std::uint32_t index);
  void splice_body(std::uint32_t index, bool& progress);
  bool fill_pipe(std::uint32_t index, bool& progress);
  bool drain_pipe(std::uint32_t index, bool& progress);

  Process process_;
  Server& server_;
  StreamDial dial_;
  SpliceRelay relay_;
  PipePool pipes_;
  route::HintCache hints_;
  std::string rewritten_;  // a playlist, on its way to the client's output
};

}  // namespace weir::http
