#include "workers/core/origin_dialer.h"

#include <algorithm>
#include <limits>

#include "common/base/clock.h"
#include "workers/core/dial.h"
#include "workers/core/origin_text.h"

namespace weir {
namespace {

using ipc::Counter;
using ipc::DialOutcome;
using State = OriginDialer::Step::State;

constexpr std::uint64_t kRouteTimeoutMs = 3000;  // for the master's answer

// Whether this client may have only one address of that origin.
bool is_chosen(const OriginDialer::Want& want, ipc::OriginRef origin) {
  return !want.endpoint.empty() && want.known == origin;
}

}  // namespace

Counter counter_of(const DialCounters& counters, DialOutcome outcome) {
  switch (outcome) {
    case DialOutcome::kRefused:
      return counters.refused;
    case DialOutcome::kTimeout:
      return counters.timeout;
    case DialOutcome::kHandshake:
      return counters.handshake;
    case DialOutcome::kTls:
      return counters.tls;
    case DialOutcome::kOk:
    case DialOutcome::kOther:
      break;
  }
  return counters.other;
}

std::string_view describe(const OriginDialer::Step& step) {
  switch (step.end) {
    case OriginDialer::End::kNone:
      break;
    case OriginDialer::End::kNoMaster:
      return "the routing service is not available";
    case OriginDialer::End::kMasterSilent:
      return "the routing service did not answer";
    case OriginDialer::End::kNoOrigin:
      return to_string(step.status);
    case OriginDialer::End::kUnreachable:
      return "no origin could be reached";
    case OriginDialer::End::kTimeout:
      return "no origin could be reached in time";
    case OriginDialer::End::kNotAdmitted:
      return "too many players of unknown streams, try again";
  }
  return "";
}

OriginDialer::OriginDialer(event_base* base, const Settings& settings, const ipc::StateView& state,
                           MasterLink& link, ipc::Counters& counters, OriginTls& tls,
                           Handlers handlers)
    : settings_(settings),
      state_(state),
      link_(link),
      counters_(counters),
      handlers_(std::move(handlers)),
      connect_(tls, settings.tcp),
      deadlines_(base, [this](std::uint32_t index) { on_due(index); }) {}

// ---- what the owner does

OriginDialer::Started OriginDialer::start(const Want& want) {
  const std::uint32_t index = take_slot();
  Dial& dial = dials_[index];
  dial.used = true;
  dial.want = want;
  dial.want.key = {};
  dial.key.assign(want.key);
  dial.want.tried = {};
  dial.failed.assign(want.tried.begin(), want.tried.end());
  const Ticket ticket = ticket_of(index);
  Step step;
  if (dial.want.known) {
    step = go_to(dial, *dial.want.known);
  } else if (const auto route = state_.find_route(dial.key, dial.want.role, settings_.kind)) {
    counters_.add(Counter::kRouteHits);
    step = go_to(dial, *route);
  } else if (dial.want.only_known) {
    step = failed(dial, End::kNoOrigin, ipc::RouteStatus::kNoOrigin);
  } else {
    step = ask_master(dial);
  }
  return {step.state == State::kFailed ? 0 : ticket, step};
}

OriginDialer::Step OriginDialer::on_ready(Ticket ticket, std::uint32_t epoll_events) {
  Dial* dial = find(ticket);
  if (dial == nullptr) return {};
  if (!dial->side.fd) return waiting(*dial);  // an event of the connection before
  dial->side.note(epoll_events);
  return after(*dial, connect_.go_on(dial->side, dial->target));
}

int OriginDialer::descriptor(Ticket ticket) {
  const Dial* dial = find(ticket);
  return dial == nullptr ? -1 : dial->side.fd.get();
}

Side OriginDialer::take(Ticket ticket) {
  Dial* dial = find(ticket);
  return dial == nullptr ? Side{} : std::move(dial->side);
}

OriginDialer::Step OriginDialer::retry(Ticket ticket, const Broken& broken) {
  Dial* dial = find(ticket);
  if (dial == nullptr) return {};
  // It had been idle and was closed just now, which says nothing.
  if (dial->reused) return connect(*dial, true);
  return origin_failed(*dial, broken);
}

void OriginDialer::close(Ticket ticket) {
  if (Dial* dial = find(ticket)) release(*dial);
}

// ---- route

OriginDialer::Step OriginDialer::ask_master(Dial& dial) {
  counters_.add(Counter::kRouteMisses);
  ipc::RouteRequest request;
  request.session = dial.want.session;
  request.protocol = settings_.kind;
  request.role = dial.want.role;
  request.failed_count = static_cast<std::uint16_t>(std::min(dial.failed.size(), ipc::kMaxFailed));
  std::copy_n(dial.failed.begin(), request.failed_count, request.failed);
  request.key.assign(dial.key);
  request.header.request = link_.next_request();
  if (!link_.send(request)) return failed(dial, End::kNoMaster);
  dial.route_request = request.header.request;
  requests_.emplace(dial.route_request, index_of(dial));
  set_deadline(dial, monotonic_ms() + kRouteTimeoutMs);
  return waiting(dial);
}

bool OriginDialer::on_route_answer(const ipc::RouteAnswer& answer) {
  const auto found = requests_.find(answer.header.request);
  if (found == requests_.end()) return false;
  Dial& dial = dials_[found->second];
  requests_.erase(found);
  dial.route_request = 0;
  const std::uint64_t owner = dial.want.owner;
  Step step;
  if (answer.status == ipc::RouteStatus::kOk) {
    step = go_to(dial, answer.origin);
  } else {
    counters_.add(Counter::kRouteRefused);
    step = failed(dial, End::kNoOrigin, answer.status);
  }
  handlers_.on_step(owner, step);
  return true;
}

// ---- connection

OriginDialer::Step OriginDialer::go_to(Dial& dial, ipc::OriginRef origin) {
  dial.origin = origin;
  if (handlers_.admits && !handlers_.admits(dial.want.owner, origin)) {
    return failed(dial, End::kNotAdmitted);
  }
  dial.addresses_tried = 0;
  ++dial.attempts;
  return connect(dial, false);
}

// `fresh`: not with a pooled connection.
OriginDialer::Step OriginDialer::connect(Dial& dial, bool fresh) {
  dial.reused = false;
  if (!fresh && dial.want.reuse && reuse(dial)) return opened(dial);
  ipc::OriginRecord record;
  if (!state_.read_origin(dial.origin, record) || !record.has(settings_.kind)) {
    return origin_failed(dial, {DialOutcome::kOk, "the origin has left, or has no such endpoint"});
  }
  return connect_next_address(dial, record);
}

bool OriginDialer::reuse(Dial& dial) {
  ipc::OriginRecord record;
  if (!state_.read_endpoints(dial.origin, settings_.kind, record) || !record.has(settings_.kind) ||
      record.proxy_protocol_of(settings_.kind) != 0) {
    return false;
  }
  const Endpoint& endpoint = address(dial, record);
  dial.reused = handlers_.pooled(dial.want.owner, endpoint, dial.side);
  if (!dial.reused) return false;
  dial.target.endpoint = endpoint;
  dial.target.proxy_protocol = 0;
  return true;
}

// The only one that the client may have, or the next one of all.
const Endpoint& OriginDialer::address(const Dial& dial, const ipc::OriginRecord& record) const {
  if (is_chosen(dial.want, dial.origin)) return dial.want.endpoint;
  const auto kind = static_cast<std::size_t>(settings_.kind);
  return record
      .endpoints[kind][(dial.want.session + dial.addresses_tried) % record.endpoint_count[kind]];
}

OriginDialer::Step OriginDialer::connect_next_address(Dial& dial, const ipc::OriginRecord& record) {
  const std::size_t addresses =
      is_chosen(dial.want, dial.origin)
          ? 1
          : record.endpoint_count[static_cast<std::size_t>(settings_.kind)];
  dial.target = target_of(record, settings_.kind, address(dial, record));
  dial.target.client = dial.want.client;
  if (dial.target.proxy_protocol != 0 && dial.want.client_fd >= 0) {
    dial.target.local = net::local_address(dial.want.client_fd);
  }
  const std::uint64_t now = monotonic_ms();
  if (dial.addresses_tried == 0) dial.origin_deadline_ms = now + settings_.timeout_ms;
  const std::size_t left = addresses - std::min(addresses, dial.addresses_tried++);
  set_deadline(dial, address_until_ms(now, dial.origin_deadline_ms, left));
  counters_.add(settings_.counters.dials);
  return after(dial, connect_.start(dial.side, dial.target,
                                    [&](int fd) { return handlers_.watch(dial.want.owner, fd); }));
}

OriginDialer::Step OriginDialer::after(Dial& dial, const ConnectStep& step) {
  switch (step.state) {
    case ConnectStep::State::kWaiting:
      break;
    case ConnectStep::State::kOpen:
      return opened(dial);
    case ConnectStep::State::kFailed:
      return address_failed(dial, step.outcome, step.why);
  }
  return waiting(dial);
}

OriginDialer::Step OriginDialer::opened(Dial& dial) {
  set_deadline(dial, 0);
  Step step = waiting(dial);
  step.state = State::kOpen;
  step.proxied = dial.target.proxy_protocol != 0;
  return step;
}

// ---- failure

bool OriginDialer::has_other_address(const Dial& dial, ipc::OriginRecord& record) const {
  if (is_chosen(dial.want, dial.origin)) return false;
  if (monotonic_ms() >= dial.origin_deadline_ms) return false;
  return state_.read_origin(dial.origin, record) &&
         dial.addresses_tried < record.endpoint_count[static_cast<std::size_t>(settings_.kind)];
}

OriginDialer::Step OriginDialer::address_failed(Dial& dial, DialOutcome outcome,
                                                std::string_view why) {
  ipc::OriginRecord record;
  if (outcome != DialOutcome::kOk && has_other_address(dial, record)) {
    counters_.add(counter_of(settings_.counters, outcome));
    LogLine(LogLevel::kInfo, "address of an origin failed, trying its next one")
        .session(dial.want.session)
        .field("stream", dial.key)
        .field("origin", origin_text(state_, dial.origin, dial.target.endpoint))
        .field("error", why);
    return connect_next_address(dial, record);
  }
  return origin_failed(dial, {outcome, why});
}

OriginDialer::Step OriginDialer::origin_failed(Dial& dial, const Broken& broken) {
  dial.side = Side{};
  dial.reused = false;
  if (broken.outcome != DialOutcome::kOk) {
    counters_.add(counter_of(settings_.counters, broken.outcome));
    if (!broken.excused) report(dial, broken.outcome);
  }
  const bool again = broken.can_move && !dial.want.only_known && dial.attempts < settings_.attempts;
  LogLine(dial.want.quiet ? LogLevel::kDebug : LogLevel::kWarn,
          again ? "origin failed, asking for another" : "origin failed")
      .session(dial.want.session)
      .field("stream", dial.key)
      .field("origin", origin_text(state_, dial.origin, dial.target.endpoint))
      .field("client", dial.want.client)
      .field("error", broken.why)
      .field("attempt", dial.attempts);
  dial.failed.push_back(dial.origin);
  if (!again) {
    return failed(dial,
                  broken.outcome == DialOutcome::kTimeout ? End::kTimeout : End::kUnreachable);
  }
  counters_.add(settings_.counters.retries);
  return ask_master(dial);
}

void OriginDialer::report(const Dial& dial, DialOutcome outcome) {
  ipc::DialResult result;
  result.origin = dial.origin;
  result.endpoint = settings_.kind;
  result.outcome = outcome;
  link_.send(result);
}

OriginDialer::Step OriginDialer::waiting(const Dial& dial) const {
  Step step;
  step.origin = dial.origin;
  step.endpoint = dial.target.endpoint;
  return step;
}

OriginDialer::Step OriginDialer::failed(Dial& dial, End end, ipc::RouteStatus status) {
  Step step = waiting(dial);
  step.state = State::kFailed;
  step.end = end;
  step.status = status;
  release(dial);
  return step;
}

// ---- table and clock

OriginDialer::Dial* OriginDialer::find(Ticket ticket) {
  const std::uint64_t index = (ticket & std::numeric_limits<std::uint32_t>::max());
  if (index == 0 || index > dials_.size()) return nullptr;
  Dial& dial = dials_[index - 1];
  return dial.used && dial.generation == ticket >> 32 ? &dial : nullptr;
}

std::uint32_t OriginDialer::take_slot() {
  if (free_.empty()) {
    dials_.emplace_back();
    return static_cast<std::uint32_t>(dials_.size() - 1);
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  return index;
}

OriginDialer::Ticket OriginDialer::ticket_of(std::uint32_t index) const {
  return (static_cast<std::uint64_t>(dials_[index].generation) << 32) | (index + 1U);
}

std::uint32_t OriginDialer::index_of(const Dial& dial) const {
  return static_cast<std::uint32_t>(&dial - dials_.data());
}

void OriginDialer::release(Dial& dial) {
  set_deadline(dial, 0);
  if (dial.route_request != 0) requests_.erase(dial.route_request);
  static_cast<Progress&>(dial) = {};
  ++dial.generation;
  dial.failed.clear();
  dial.target.endpoint = {};
  if (dial.side.fd) dial.side = Side{};
  free_.push_back(index_of(dial));
}

void OriginDialer::set_deadline(Dial& dial, std::uint64_t at_ms) {
  deadlines_.set(index_of(dial), dial.deadline_ms, at_ms);
}

void OriginDialer::on_due(std::uint32_t index) {
  Dial& dial = dials_[index];
  dial.deadline_ms = 0;
  const std::uint64_t owner = dial.want.owner;
  handlers_.on_step(owner, on_deadline(dial));
}

OriginDialer::Step OriginDialer::on_deadline(Dial& dial) {
  if (dial.route_request != 0) return failed(dial, End::kMasterSilent);
  dial.side = Side{};
  return address_failed(dial, DialOutcome::kTimeout, "no connection in time");
}

}  // namespace weir
