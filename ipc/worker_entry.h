// The seam between the supervisor, which forks workers, and the workers, which know nothing of it.
// The master fills a WorkerContext in the forked child and calls the kind's entry; the workers'
// folder defines it and the linker joins the two.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/tls_settings.h"
#include "ipc/counter_pages.h"
#include "ipc/shm_layout.h"

namespace weir {
struct Config;  // common/config/config.h
}

namespace weir::ipc {

// Exit codes of a worker. Any other end of the process is a death and respawns it.
inline constexpr int kExitDrained = 0;
inline constexpr int kExitDoNotRespawn = 79;  // it cannot work here and never will (see the log)

struct WorkerContext {
  WorkerKind kind = WorkerKind::kControl;
  std::uint16_t slot = 0;           // 0..N-1 among the workers of its kind and generation
  std::uint32_t generation = 0;     // of the configuration
  std::uint32_t page = 0;           // its counter page = its slot in the worker table
  UniqueFd channel;                 // to the master, see ipc/channel.h
  UniqueFd state;                   // read-only use: StateView::map
  CounterCell* counters = nullptr;  // the page that is this process's own: Counters
  CounterArea all_counters;         // everybody's: CountersView
  UniqueFd old_state;               // of the program that this one replaces; invalid: none lives
  UniqueFd flows;                   // the session table, open for reading: FlowView::map
  // Non-blocking; shared with the master, who keeps them open.
  std::vector<UniqueFd> listeners;    // TCP
  UniqueFd control;                   // the Unix socket of weirctl; only control workers have it
  std::vector<UniqueFd> udp_sockets;  // UDP slot sockets; not read before Serve, nor after Drain
  TicketSecret tickets;               // of TLS session tickets
  std::uint32_t master_uid = 0;
  SessionId first_session = 0;  // ids first_session, +1, ... are this process's own
};

// Each runs the worker until it has drained and returns its exit code. By then the process has
// dropped its privileges, has the log, ignores SIGHUP, SIGPIPE and the terminal's signals, and
// takes SIGTERM for a Quit.
int run_control_worker(WorkerContext&& context, const Config& config);
int run_rtmp_worker(WorkerContext&& context, const Config& config);
int run_http_worker(WorkerContext&& context, const Config& config);
int run_rtc_worker(WorkerContext&& context, const Config& config);
int run_srt_worker(WorkerContext&& context, const Config& config);

// For `weir -k`: what an address of WebRTC signalling names, as the http workers read it.
struct SignalledStream {
  std::string key;  // without the aliases
  bool publisher = false;
  std::string error;  // why it names no stream
};
SignalledStream read_signalling(std::string_view host, std::string_view path,
                                std::string_view query);
SignalledStream read_stream_url(std::string_view url);  // SRS's webrtc://host/app/stream

}  // namespace weir::ipc
