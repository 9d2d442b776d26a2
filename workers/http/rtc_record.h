// RtcRecord: has the master write signalled sessions into the session table, which the rtc workers
// read (docs/UDP.md), before their clients may come: new ones, new credentials, ends. Owner:
// RtcSignal; must die before the event base.
//
// A question to the master belongs to this object from create() or change() until its Outcome or
// cancel(). What was recorded of a session that fails is ended, also when the master says so later.
// It never calls back from within a call: what a call has brought about it returns.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "ipc/flow_messages.h"
#include "ipc/flow_reader.h"
#include "ipc/messages.h"
#include "workers/core/event_ptr.h"
#include "workers/core/master_link.h"
#include "workers/http/rtc_answer_session.h"

namespace weir::http {

class RtcRecord {
 public:
  using Ticket = std::uint64_t;  // 0: none

  struct Session {
    SessionId session = 0;
    ipc::Role role = ipc::Role::kPlayer;
    std::string key;
    std::string location;  // at the origin: where it can be ended, or the address published to
    std::string param;     // for the operator's hook at its end
    ipc::OriginRef origin;
    Endpoint client;             // who has signalled it
    std::vector<RtcFlow> flows;  // at least one; those behind the first get sessions of their own
  };
  struct Outcome {
    bool ok = false;
    int status = 503;      // for the client, if not ok
    std::string_view why;  // the same
    bool known = false;    // the master has the session, or may have: it tells of its end
    std::string name;      // create(): for the resource's address
  };
  using OnOutcome = std::function<void(const Outcome& outcome)>;
  struct Asked {
    Ticket ticket = 0;               // the outcome comes later
    std::optional<Outcome> outcome;  // or it is here
  };
  // What a resource's address names.
  struct Found {
    ipc::FlowRef flow;
    SessionId session = 0;  // of its group
    ipc::Role role = ipc::Role::kPlayer;
    std::string key;
    std::string username, password;
  };

  // All outlive this. `flows`: the session table, when there is one.
  RtcRecord(event_base* base, MasterLink& link, const std::optional<ipc::FlowView>& flows,
            SessionId& next_session);
  ~RtcRecord();

  Asked create(Session session, OnOutcome done);
  Asked change(ipc::FlowRef flow, const RtcFlow& credentials, OnOutcome done);
  // Nobody wants it any more: ends what is recorded of it. Does nothing for 0.
  void cancel(Ticket ticket);
  // Nothing: the token is not right, or the session is over.
  std::optional<Found> find(std::string_view name) const;
  void end(ipc::FlowRef flow);
  void on_flow_created(const ipc::FlowCreated& message);

 private:
  struct Pending;

  Pending& add(OnOutcome done);
  Asked asked(Pending& p, std::optional<Outcome> outcome);
  std::optional<Outcome> send_next(Pending& p);
  std::optional<Outcome> sent(Pending& p, std::uint32_t request);
  std::optional<Outcome> on_made(Pending& p, const ipc::FlowCreated& message);
  void take_back(const Pending& p);
  void settle(Pending& p, const Outcome& outcome);
  void on_timeout(Pending& p);

  event_base* base_;
  MasterLink& link_;
  const std::optional<ipc::FlowView>& flows_;
  SessionId& next_session_;
  std::unordered_map<Ticket, std::unique_ptr<Pending>> pending_;
  // To the master. 0: a session that nobody wants any more when it is made.
  std::unordered_map<std::uint32_t, Ticket> requests_;
  Ticket last_ticket_ = 0;
};

}  // namespace weir::http
