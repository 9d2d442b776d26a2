// HttpWorker: the process of the HTTP kind: event loop, link to the master, one http::Server with
// the stream port and the API port, and the rooms that answer their requests:
//
//   stream port   FileRoom (http.static_files), then StreamRoom
//   API port      RtcRoom (WebRTC signalling), then ApiRoom (the origins' APIs)
//
// Owner: run_http_worker(). One thread. docs/HTTP.md follows a request through it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "common/config/config.h"
#include "common/route/origin_hint.h"
#include "ipc/counters.h"
#include "ipc/flow_reader.h"
#include "ipc/route_reader.h"
#include "ipc/worker_entry.h"
#include "workers/core/http_server.h"
#include "workers/core/master_link.h"
#include "workers/core/origin_tls.h"
#include "workers/http/api_room.h"
#include "workers/http/file_room.h"
#include "workers/http/http_process.h"
#include "workers/http/rtc_room.h"
#include "workers/http/stream_room.h"

namespace weir::http {

class HttpWorker {
 public:
  HttpWorker(event_base* base, ipc::WorkerContext&& context, const Config& config,
             ipc::StateView&& state, ipc::Counters&& counters, ipc::CountersView&& all_counters);
  // Says READY and runs until drained.
  void run();

 private:
  void add_ports();
  void on_message(ipc::MessageType type, ByteView bytes);
  void drain(std::uint64_t deadline_ms);
  void on_timer();
  void maybe_leave();
  Process process();

  event_base* base_;
  ipc::WorkerContext context_;
  const Config& config_;
  route::HintKey hint_key_;
  const route::Aliases aliases_;
  ipc::StateView state_;
  std::optional<ipc::FlowView> flows_;  // the session table
  ipc::Counters counters_;
  ipc::CountersView all_counters_;
  SessionId next_session_;
  MasterLink link_;
  std::unique_ptr<net::TlsServer> tls_;
  Resolver resolver_;
  HookClient hooks_;
  OriginTls origin_tls_;
  Server server_;
  FileRoom files_;
  StreamRoom streams_;
  RtcRoom rtc_;
  ApiRoom api_;
  EventPtr timer_;
  Drain drain_;
};

}  // namespace weir::http
