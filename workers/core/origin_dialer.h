// OriginDialer: brings a client to the origin of its stream. Route from shared memory or from the
// master, connection (OriginConnect), the next address or the next origin when there is none, and
// the report to the master are not the protocol's matter, nor is what counts against an origin.
// RTMP, HTTP streams and WebRTC signalling use it.
//
//   kRouting -> kConnecting -> open -- close(): the origin has spoken, or the client has left
//      ^   next origin |         |
//      +---------------+---------+ retry(): closed or silent before its first byte
//
// Nothing counts against an endpoint that has spoken, or may have meant this client's own words
// (Broken::excused). After a whole answer the caller must not retry() either: it is this client's.
// A report only hastens the control worker's probe, which decides.
//
// Owner: a worker, one for each protocol; must die before the event base. A dial belongs to this
// object from start() until close() or until a Step says kFailed. It never calls back from within
// a call: what a call has brought about it returns, and only the master's answer and the clock come
// through Handlers.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "ipc/counters.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "workers/core/deadlines.h"
#include "workers/core/master_link.h"
#include "workers/core/origin_connect.h"

namespace weir {

// The counters of one protocol.
struct DialCounters {
  ipc::Counter dials, retries, refused, timeout, handshake, tls, other;
};
ipc::Counter counter_of(const DialCounters& counters, ipc::DialOutcome outcome);

class OriginDialer {
 public:
  using Ticket = std::uint64_t;  // 0: none

  struct Settings {
    ipc::EndpointKind kind = ipc::EndpointKind::kRtmp;
    std::int64_t attempts = 1;     // origins that one client is carried to
    std::uint64_t timeout_ms = 0;  // for a connection to one origin, all its addresses together
    net::TcpOptions tcp;
    DialCounters counters;
  };
  struct Want {
    std::uint64_t owner = 0;  // comes back in Handlers
    SessionId session = 0;    // for the log
    ipc::Role role = ipc::Role::kPlayer;
    std::string_view key;                 // of the stream; copied by start()
    Endpoint client;                      // for the log, and for the PROXY protocol header
    int client_fd = -1;                   // for where it connected to, which the header names, too
    std::optional<ipc::OriginRef> known;  // goes there first, without asking
    Endpoint endpoint;                    // of `known`; empty: any
    bool only_known = false;              // there, or where the stream is, and to no other
    bool reuse = false;                   // Handlers::pooled is asked, which must be there
    bool quiet = false;  // its failures are no warnings: one of many that are asked
    std::span<const ipc::OriginRef> tried =
        {};  // that the master shall not name; copied by start()
  };
  // Why a dial came to nothing.
  enum class End : std::uint8_t {
    kNone,
    kNoMaster,      // it is gone, or its queue is full
    kMasterSilent,  // no answer in time
    kNoOrigin,      // Step::status says why
    kUnreachable,   // those that were tried cannot be reached
    kTimeout,       // and the last one took too long
    kNotAdmitted,   // Handlers::admits
  };
  struct Step {
    enum class State : std::uint8_t { kWaiting, kOpen, kFailed };
    State state = State::kWaiting;
    End end = End::kNone;                             // kFailed
    ipc::RouteStatus status = ipc::RouteStatus::kOk;  // End::kNoOrigin
    ipc::OriginRef origin;                            // tried last, or open now
    Endpoint endpoint;
    bool proxied = false;  // kOpen: it has told who this client is, so it is for no other
  };
  struct Started {
    Ticket ticket = 0;  // 0: failed
    Step step;
  };
  struct Handlers {
    // Puts the connection of that dial into the owner's event set (kSideEvents); its events are
    // to be handed to on_ready() until the dial is open.
    std::function<bool(std::uint64_t owner, int fd)> watch;
    // A dial went on by the master's answer or by the clock: open, failed, or at another origin.
    std::function<void(std::uint64_t owner, const Step& step)> on_step;
    // Puts an idle connection to that endpoint into `into`, writable. False: there is none.
    std::function<bool(std::uint64_t owner, const Endpoint& endpoint, Side& into)> pooled = {};
    // Whether that dial may go to that origin now. Absent: it may.
    std::function<bool(std::uint64_t owner, ipc::OriginRef origin)> admits = {};
  };

  OriginDialer(event_base* base, const Settings& settings, const ipc::StateView& state,
               MasterLink& link, ipc::Counters& counters, OriginTls& tls, Handlers handlers);

  Started start(const Want& want);
  // The events of its connection. REQUIRES: the dial is under way (not open).
  Step on_ready(Ticket ticket, std::uint32_t epoll_events);
  // Its connection while that is made; -1: there is none.
  int descriptor(Ticket ticket);
  // kOpen: the connection, with what must go out first in its output. It is the caller's.
  Side take(Ticket ticket);
  // How a connection that was taken came to nothing.
  struct Broken {
    ipc::DialOutcome outcome = ipc::DialOutcome::kHandshake;
    std::string_view why;
    bool excused = false;  // nothing is held against the endpoint
    bool can_move = true;  // another origin could still serve this client
  };
  // Before the origin's word on this client: a new connection where it was a pooled one, else the
  // next origin.
  Step retry(Ticket ticket, const Broken& broken);
  // The dial is over. Does nothing for 0 and for what has ended.
  void close(Ticket ticket);
  // False: it answers nobody's question here.
  bool on_route_answer(const ipc::RouteAnswer& answer);
  std::size_t size() const { return dials_.size() - free_.size(); }

 private:
  struct Progress {
    bool used = false;
    bool reused = false;
    Want want;  // without its key
    ipc::OriginRef origin;
    std::int64_t attempts = 0;
    std::size_t addresses_tried = 0;  // of this origin
    std::uint32_t route_request = 0;
    std::uint64_t deadline_ms = 0;         // of the stage; 0: none
    std::uint64_t origin_deadline_ms = 0;  // of all addresses of this origin
  };
  // A place of the table. Its memory is used again: a request that finds a pooled connection
  // allocates nothing.
  struct Dial : Progress {
    std::uint32_t generation = 0;
    std::string key;
    std::vector<ipc::OriginRef> failed;
    ConnectTarget target;
    Side side;
  };
  Dial* find(Ticket ticket);
  std::uint32_t take_slot();
  Ticket ticket_of(std::uint32_t index) const;
  std::uint32_t index_of(const Dial& dial) const;
  Step go_to(Dial& dial, ipc::OriginRef origin);
  Step connect(Dial& dial, bool fresh);
  Step connect_next_address(Dial& dial, const ipc::OriginRecord& record);
  bool reuse(Dial& dial);
  const Endpoint& address(const Dial& dial, const ipc::OriginRecord& record) const;
  bool has_other_address(const Dial& dial, ipc::OriginRecord& record) const;
  Step after(Dial& dial, const ConnectStep& step);
  Step address_failed(Dial& dial, ipc::DialOutcome outcome, std::string_view why);
  Step origin_failed(Dial& dial, const Broken& broken);
  Step ask_master(Dial& dial);
  Step opened(Dial& dial);
  Step waiting(const Dial& dial) const;
  Step failed(Dial& dial, End end, ipc::RouteStatus status = ipc::RouteStatus::kOk);
  void report(const Dial& dial, ipc::DialOutcome outcome);
  void release(Dial& dial);
  void set_deadline(Dial& dial, std::uint64_t at_ms);
  void on_due(std::uint32_t index);
  Step on_deadline(Dial& dial);

  Settings settings_;
  const ipc::StateView& state_;
  MasterLink& link_;
  ipc::Counters& counters_;
  Handlers handlers_;
  OriginConnect connect_;
  Deadlines deadlines_;  // by place in dials_
  std::vector<Dial> dials_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<std::uint32_t, std::uint32_t> requests_;  // to the master -> dial
};

// For clients and logs: what the End is.
std::string_view describe(const OriginDialer::Step& step);

}  // namespace weir
