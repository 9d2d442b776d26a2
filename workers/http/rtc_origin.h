// RtcOrigin: carries one small request to an origin and brings the whole answer back: connection
// (OriginDialer), request, answer, time limit, redirects. It does not know what is asked. RtcSignal
// and RtcRemover use it. Owner: RtcSignal; must die before the event base.
//
//   kDialing -> kAnswering -> kAnswered, kUnreadable
//      ^            |
//      +- redirect -+  one origin only has the request: it may have done something even if the
//                      answer never came
//
// A request belongs to this object from ask() until its last Outcome, or until cancel() or
// abandon(). It never calls back from within a call: what a call has brought about it returns.
// Bounds: bytes of an answer (limits::kSignalBodyBytes); how many requests, the caller bounds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "common/config/config.h"
#include "common/proto/http/collected_response.h"
#include "ipc/counters.h"
#include "ipc/route_reader.h"
#include "workers/core/master_link.h"
#include "workers/core/origin_dialer.h"
#include "workers/core/origin_tls.h"
#include "workers/core/poller.h"

namespace weir::http {

class RtcOrigin {
 public:
  using Ticket = std::uint64_t;  // 0: none

  struct Want {
    SessionId session = 0;  // for the log
    Endpoint client;        // the same
    ipc::Role role = ipc::Role::kPlayer;
    std::string key;                      // of the stream
    std::optional<ipc::OriginRef> known;  // nothing: where the stream is, or the master wants it
    Endpoint endpoint;                    // of `known`; empty: any
    bool only_known = false;              // there, or where the stream is, and at no other
    // Whether that origin may be asked now. Null: it may.
    std::function<bool(ipc::OriginRef origin)> admits;
    Method method = Method::kGet;
    std::string target;  // as it stands in `head`
    std::string head;    // up to and without Content-Length and the empty line
    // The body, for a connection whose end here is `local`. Null: it is empty.
    std::function<std::string(const Endpoint& local)> body;
    std::uint64_t time_limit_ms = 0;  // for the answer
    // How much longer an answer is waited for that comes too late. 0: not at all.
    std::uint64_t late_limit_ms = 0;
  };
  struct Outcome {
    enum class State : std::uint8_t {
      kAnswered,
      kNoOrigin,     // `dial` says why
      kUnreadable,   // it broke off or broke the protocol
      kLate,         // no answer in time
      kMisdirected,  // it redirects to where it cannot be followed, or nobody waits any more
    };
    State state = State::kNoOrigin;
    bool last = true;  // false: late_limit_ms runs, and another one follows
    OriginDialer::Step dial;
    ipc::OriginRef origin;  // that was asked last
    Endpoint endpoint;
    std::string target;  // there
    // kAnswered, and kUnreadable as far as it could be read.
    std::unique_ptr<CollectedResponse> response;
  };
  using OnOutcome = std::function<void(Outcome&& outcome)>;
  struct Asked {
    Ticket ticket = 0;               // the outcome comes later
    std::optional<Outcome> outcome;  // or it is here
  };

  // All outlive this.
  RtcOrigin(event_base* base, const Config& config, const ipc::StateView& state, MasterLink& link,
            ipc::Counters& counters, OriginTls& tls);
  ~RtcOrigin();

  Asked ask(Want want, OnOutcome done);
  // Does nothing for 0.
  void cancel(Ticket ticket);
  // Nobody waits for the answer; where an origin has the request, what comes of it is still told.
  // False: none has, and the request is cancelled.
  bool abandon(Ticket ticket);
  // False: it answers nobody's question here.
  bool on_route_answer(const ipc::RouteAnswer& message) { return dialer_.on_route_answer(message); }

 private:
  struct Exchange;

  Exchange* find(Ticket ticket);
  std::optional<Outcome> dial(Exchange& x);
  std::optional<Outcome> after(Exchange& x, const OriginDialer::Step& step);
  void send_request(Exchange& x);
  std::optional<Outcome> serve(Exchange& x);
  std::optional<Outcome> unreadable(Exchange& x) const;
  std::optional<Outcome> follow(Exchange& x);
  Outcome make_outcome(Exchange& x, Outcome::State state) const;
  std::string origin_text(const Exchange& x) const;
  void on_ready(Ticket ticket, std::uint32_t events);
  void on_timeout(Exchange& x);
  void settle(Ticket ticket, std::optional<Outcome> outcome);

  event_base* base_;
  const ipc::StateView& state_;
  Poller poller_;
  OriginDialer dialer_;
  std::unordered_map<Ticket, std::unique_ptr<Exchange>> exchanges_;
  std::vector<std::uint8_t> read_buffer_;
  Ticket last_ticket_ = 0;
};

}  // namespace weir::http
