#include "workers/control/prober.h"

#include <algorithm>

#include "common/base/clock.h"
#include "ipc/origin_walk.h"

namespace weir::control {
namespace {

constexpr std::size_t kConcurrent = 256;        // in the rounds
constexpr std::size_t kConcurrentOrders = 320;  // with those that the master wants
constexpr std::uint64_t kTickMs = 50;
constexpr std::uint64_t kFollowUpMs = 200;  // between the probes of an order
constexpr std::uint64_t kDatagramRepeatMs = 250;

std::size_t addresses_of(const ipc::OriginRecord& record, ipc::EndpointKind kind) {
  return std::min<std::size_t>(record.endpoint_count[static_cast<std::size_t>(kind)],
                               limits::kEndpointsPerKind);
}

const route::EndpointHealth& health_of(const ipc::OriginRecord& record, ipc::EndpointKind kind) {
  return record.endpoint[static_cast<std::size_t>(kind)].health;
}

}  // namespace

Prober::Prober(event_base* base, const Config& config, const ipc::StateView& state,
               ipc::Counters& counters, Send send)
    : base_(base),
      config_(config),
      state_(state),
      counters_(counters),
      send_(std::move(send)),
      tls_(config),
      connect_(tls_, {}),
      timer_(make_timer<&Prober::tick>(base, this)) {
  if (config_.balance.probe_interval != 0) arm(timer_, 0);
}

void Prober::stop() {
  stopped_ = true;
  timer_.reset();
  running_.clear();
  orders_.clear();
  due_.clear();
}

void Prober::probe_now(const ipc::ProbeNow& order) {
  ipc::OriginRecord record;
  if (stopped_ || !state_.read_origin(order.origin, record) || !record.has(order.endpoint) ||
      !ipc::can_be_probed(order.endpoint)) {
    return;
  }
  Order& known = orders_[{order.origin.slot, order.endpoint}];
  if (known.probes_left > 0 && known.origin == order.origin) return;
  known = Order{order.origin, static_cast<std::uint32_t>(config_.balance.max_fails), 0, false};
  if (event_pending(timer_.get(), EV_TIMEOUT, nullptr) == 0) arm(timer_, 0);
}

void Prober::tick() {
  const std::uint64_t now = monotonic_ms();
  watch_running(now);
  run_orders(now);
  if (config_.balance.probe_interval != 0) run_round(now);
  const bool idle = config_.balance.probe_interval == 0 && orders_.empty() && running_.empty();
  if (idle) return;
  const std::uint64_t interval = config_.balance.probe_interval;
  arm(timer_, interval == 0 ? kTickMs : std::min(kTickMs, interval));
}

void Prober::watch_running(std::uint64_t now_ms) {
  for (auto it = running_.begin(); it != running_.end();) {
    Running& running = *it++;
    if (now_ms >= running.deadline_ms) {
      finish(running, ipc::DialOutcome::kTimeout);
    } else if (now_ms >= running.ask_again_ms) {
      running.ask_again_ms = now_ms + kDatagramRepeatMs;
      running.probe->ask_again();
    }
  }
}

void Prober::run_orders(std::uint64_t now_ms) {
  for (auto it = orders_.begin(); it != orders_.end();) {
    const Target target{it->second.origin, it->first.second};
    Order& order = it->second;
    ++it;
    if (order.running || now_ms < order.due_ms) continue;
    if (running_.size() >= kConcurrentOrders) return;
    ipc::OriginRecord record;
    const bool there = state_.read_origin(target.origin, record) && record.has(target.kind);
    if (!there || (record.is_ejected(target.kind) && !health_of(record, target.kind).on_trial)) {
      orders_.erase({target.origin.slot, target.kind});  // gone, or the verdict has been spoken
      continue;
    }
    order.running = true;
    start(target, record);
  }
}

void Prober::run_round(std::uint64_t now_ms) {
  if (now_ms >= next_round_ms_ && next_due_ >= due_.size()) {
    next_round_ms_ = now_ms + config_.balance.probe_interval;
    collect();
  }
  for (std::size_t i = 0; i < per_tick_ && next_due_ < due_.size(); ++i) {
    if (running_.size() >= kConcurrent) return;
    const Target target = due_[next_due_++];
    ipc::OriginRecord record;
    if (state_.read_origin(target.origin, record) && record.has(target.kind)) {
      start(target, record);
    }
  }
}

// The endpoints of this round, spread over the interval so that they are not asked all at once.
void Prober::collect() {
  due_.clear();
  next_due_ = 0;
  ++rounds_;
  ipc::each_origin(state_, [this](ipc::OriginRef ref, const ipc::OriginRecord& origin) {
    if (origin.state == ipc::OriginState::kDead) return;
    for (std::size_t i = 0; i < ipc::kEndpointKinds; ++i) {
      const auto kind = static_cast<ipc::EndpointKind>(i);
      if (origin.has(kind) && ipc::can_be_probed(kind)) {
        due_.push_back({ref, kind});
      }
    }
  });
  const std::uint64_t ticks = std::max<std::uint64_t>(1, config_.balance.probe_interval / kTickMs);
  per_tick_ = (due_.size() + ticks - 1) / ticks;
}

void Prober::start(const Target& target, const ipc::OriginRecord& record) {
  const std::size_t addresses = addresses_of(record, target.kind);
  running_.emplace_front();
  Running& running = running_.front();
  running.self = running_.begin();
  running.target = target;
  running.address = rounds_ % addresses;
  running.addresses_left = addresses - 1;
  start_address(running, record);
}

void Prober::start_address(Running& running, const ipc::OriginRecord& record) {
  const std::uint64_t now = monotonic_ms();
  running.deadline_ms = now + config_.balance.probe_timeout;
  running.ask_again_ms = now + kDatagramRepeatMs;
  running.probe =
      std::make_unique<Probe>(base_, connect_, record, running.target.kind, running.address,
                              [this, &running](ProbeVerdict verdict) { finish(running, verdict); });
  running.probe->start();
}

// Ends the probe: `running` is gone afterwards, or asks the endpoint's next address.
void Prober::finish(Running& running, ProbeVerdict verdict) {
  const Target target = running.target;
  const bool failed = verdict && *verdict != ipc::DialOutcome::kOk;
  ipc::OriginRecord record;
  if (failed && running.addresses_left > 0 && state_.read_origin(target.origin, record) &&
      record.has(target.kind)) {
    --running.addresses_left;
    running.address = (running.address + 1) % addresses_of(record, target.kind);
    start_address(running, record);
    return;
  }
  running_.erase(running.self);
  if (verdict) report(target, *verdict);
  follow_up(target, verdict);
}

void Prober::follow_up(const Target& target, ProbeVerdict verdict) {
  const auto found = orders_.find({target.origin.slot, target.kind});
  if (found == orders_.end() || !(found->second.origin == target.origin)) return;
  Order& order = found->second;
  const bool clear = verdict == ipc::DialOutcome::kOk;
  if (clear || --order.probes_left == 0) {
    orders_.erase(found);
    return;
  }
  order.running = false;
  order.due_ms = monotonic_ms() + kFollowUpMs;
}

void Prober::report(const Target& target, ipc::DialOutcome outcome) {
  const bool ok = outcome == ipc::DialOutcome::kOk;
  counters_.add(ok ? ipc::Counter::kProbesOk : ipc::Counter::kProbesFailed);
  ipc::OriginRecord record;
  if (ok && state_.read_origin(target.origin, record)) {
    const route::EndpointHealth& health = health_of(record, target.kind);
    if (health.failures_in_row == 0 && health.ejections_in_row == 0 && !record.unproven) return;
  }
  ipc::ProbeResult result;
  result.origin = target.origin;
  result.endpoint = target.kind;
  result.outcome = outcome;
  send_(result);
}

}  // namespace weir::control
