#include "workers/http/rtc_record.h"

#include <array>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/base/secret.h"
#include "workers/http/rtc_plan_session.h"

namespace weir::http {
namespace {

constexpr std::uint64_t kMasterTimeoutMs = 3000;

}  // namespace

struct RtcRecord::Pending {
  RtcRecord* owner = nullptr;
  Ticket ticket = 0;
  OnOutcome done;
  bool change = false;
  Session session;            // create()
  std::size_t recorded = 0;   // of session.flows
  ipc::FlowRef flow;          // the first of them
  std::string name;           // the same
  std::uint32_t request = 0;  // to the master; 0: none
  EventPtr timer;

  void on_timer() { owner->on_timeout(*this); }
};

RtcRecord::RtcRecord(event_base* base, MasterLink& link, const std::optional<ipc::FlowView>& flows,
                     SessionId& next_session)
    : base_(base), link_(link), flows_(flows), next_session_(next_session) {}

RtcRecord::~RtcRecord() = default;

RtcRecord::Pending& RtcRecord::add(OnOutcome done) {
  const Ticket ticket = ++last_ticket_;
  Pending& p = *pending_.emplace(ticket, std::make_unique<Pending>()).first->second;
  p.owner = this;
  p.ticket = ticket;
  p.done = std::move(done);
  p.timer = make_timer<&Pending::on_timer>(base_, &p);
  return p;
}

RtcRecord::Asked RtcRecord::asked(Pending& p, std::optional<Outcome> outcome) {
  const Ticket ticket = p.ticket;
  if (!outcome) return {ticket, std::nullopt};
  pending_.erase(ticket);
  return {0, std::move(outcome)};
}

RtcRecord::Asked RtcRecord::create(Session session, OnOutcome done) {
  Pending& p = add(std::move(done));
  p.session = std::move(session);
  return asked(p, send_next(p));
}

RtcRecord::Asked RtcRecord::change(ipc::FlowRef flow, const RtcFlow& credentials, OnOutcome done) {
  Pending& p = add(std::move(done));
  p.change = true;
  ipc::FlowCredentials message;
  message.flow = flow;
  message.origin_endpoint = credentials.media;
  const bool fits = message.texts.set(ipc::FlowField::kUsername, credentials.username) &&
                    message.texts.set(ipc::FlowField::kPassword, credentials.password);
  message.header.request = link_.next_request();
  if (!fits) return asked(p, Outcome{false, 503, "its credentials are too long", false, {}});
  if (!link_.send(message)) return asked(p, Outcome{false, 503, "the master is gone", false, {}});
  return asked(p, sent(p, message.header.request));
}

// One FlowCreate after the other: those behind the first name its group.
std::optional<RtcRecord::Outcome> RtcRecord::send_next(Pending& p) {
  const Session& session = p.session;
  const RtcFlow& flow = session.flows[p.recorded];
  ipc::FlowCreate create;
  create.session = p.recorded == 0 ? session.session : next_session_++;
  create.group = p.recorded == 0 ? 0 : session.session;
  create.role = session.role;
  create.origin = session.origin;
  create.origin_endpoint = flow.media;
  create.signaller = session.client;
  const bool fits = create.texts.set(ipc::FlowField::kUsername, flow.username) &&
                    create.texts.set(ipc::FlowField::kPassword, flow.password) &&
                    create.texts.set(ipc::FlowField::kKey, session.key);
  // A long address of the session's is not worth a refusal: it only spares the origin a timeout.
  if (session.location.size() <= limits::kFlowResourceBytes) {
    create.texts.set(ipc::FlowField::kResource, session.location);
  }
  if (session.param.size() <= limits::kFlowParamBytes) {
    create.texts.set(ipc::FlowField::kParam, session.param);  // else the end is told without
  }
  create.header.request = link_.next_request();
  const bool known = p.recorded > 0;
  if (!fits) return Outcome{false, 400, "its credentials are too long", known, {}};
  if (!link_.send(create)) return Outcome{false, 503, "the master is gone", known, {}};
  return sent(p, create.header.request);
}

std::optional<RtcRecord::Outcome> RtcRecord::sent(Pending& p, std::uint32_t request) {
  p.request = request;
  requests_.emplace(request, p.ticket);
  arm(p.timer, kMasterTimeoutMs);
  return std::nullopt;
}

void RtcRecord::on_flow_created(const ipc::FlowCreated& message) {
  const auto request = requests_.find(message.header.request);
  if (request == requests_.end()) return;
  const auto found = pending_.find(request->second);
  requests_.erase(request);
  if (found == pending_.end()) {
    if (message.status == ipc::FlowStatus::kOk) end(message.flow);  // nobody wants it any more
    return;
  }
  Pending& p = *found->second;
  p.request = 0;
  if (const auto outcome = on_made(p, message)) settle(p, *outcome);
}

std::optional<RtcRecord::Outcome> RtcRecord::on_made(Pending& p, const ipc::FlowCreated& message) {
  // A restart that names the pair that is in use changes nothing.
  const bool same = p.change && message.status == ipc::FlowStatus::kDuplicate;
  if (message.status != ipc::FlowStatus::kOk && !same) {
    const bool never = message.status == ipc::FlowStatus::kTooLong;
    return Outcome{false, never ? 400 : 503, to_string(message.status), p.recorded > 0, {}};
  }
  if (p.change) return Outcome{true, 0, {}, true, {}};
  if (p.recorded++ == 0) {
    p.flow = message.flow;
    p.name =
        print_flow_name({message.flow.slot, message.flow.generation, std::to_array(message.token)});
  }
  if (p.recorded < p.session.flows.size()) return send_next(p);
  return Outcome{true, 0, {}, true, p.name};
}

void RtcRecord::take_back(const Pending& p) {
  if (p.recorded > 0) end(p.flow);
  if (p.request == 0) return;
  // A session that is being recorded must be ended when its answer comes; see on_flow_created.
  if (p.change) {
    requests_.erase(p.request);
  } else {
    requests_[p.request] = 0;
  }
}

// The last that is done with it.
void RtcRecord::settle(Pending& p, const Outcome& outcome) {
  if (!outcome.ok) take_back(p);
  const OnOutcome done = std::move(p.done);
  const Ticket ticket = p.ticket;
  pending_.erase(ticket);
  done(outcome);
}

void RtcRecord::on_timeout(Pending& p) {
  settle(p, Outcome{false, 503, "the master did not answer", true, {}});
}

void RtcRecord::cancel(Ticket ticket) {
  const auto found = pending_.find(ticket);
  if (found == pending_.end()) return;
  take_back(*found->second);
  pending_.erase(found);
}

std::optional<RtcRecord::Found> RtcRecord::find(std::string_view text) const {
  const auto name = parse_flow_name(text);
  ipc::FlowRecord record;
  const ipc::FlowRef flow = name ? ipc::FlowRef{name->slot, name->generation} : ipc::FlowRef{};
  if (!name || !flows_ || !flows_->read(flow, record)) return std::nullopt;
  if (!equal_secrets(as_text(name->token), as_text(record.token))) return std::nullopt;
  Found found;
  found.flow = flow;
  found.session = record.group != 0 ? record.group : record.session;
  found.role = record.role;
  found.key = record.get(ipc::FlowField::kKey);
  found.username = record.get(ipc::FlowField::kUsername);
  found.password = record.get(ipc::FlowField::kPassword);
  return found;
}

void RtcRecord::end(ipc::FlowRef flow) {
  ipc::FlowEnd message;
  message.flow = flow;
  message.reason = ipc::FlowEndReason::kDeleted;
  link_.send(message);
}

}  // namespace weir::http
