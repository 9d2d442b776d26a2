// Origins, how they are. Only probes decide; what clients meet hastens a probe.
#include <utility>

#include "common/base/log.h"
#include "supervisor/origins.h"

namespace weir {
namespace {

using ipc::EndpointKind;
using ipc::OriginRef;
using ipc::OriginState;

// Failing clients can cost an endpoint one question a second, however many they are. The prober
// puts it max_fails times in quick succession at most.
constexpr std::uint64_t kAskAgainMs = 1000;

route::Life life_of(const ipc::OriginRecord& record) {
  return {record.state == OriginState::kDead, record.is_static, record.heartbeat_ms};
}

void put_life(ipc::OriginRecord& record, const route::Life& life) {
  record.state = life.dead ? OriginState::kDead : OriginState::kUp;
  record.heartbeat_ms = life.heartbeat_ms;
}

ipc::EndpointRecord& endpoint_of(ipc::OriginRecord& record, EndpointKind kind) {
  return record.endpoint[static_cast<std::size_t>(kind)];
}

bool may_be_judged(const ipc::OriginRecord& record, EndpointKind kind) {
  return static_cast<std::size_t>(kind) < ipc::kEndpointKinds && record.has(kind) &&
         ipc::can_be_probed(kind);
}

std::string_view text_of(route::HealthChange change) {
  switch (change) {
    case route::HealthChange::kNone:
      break;
    case route::HealthChange::kEjected:
      return "endpoint ejected";
    case route::HealthChange::kTrialDue:
      return "endpoint on trial, its ejection is over";
    case route::HealthChange::kUnproved:
      return "endpoint is back, nobody probed it";
    case route::HealthChange::kRecovered:
      return "endpoint is back, it answers";
  }
  return "";
}

// An endpoint that nobody serves is news once, and not again at the end of each ejection.
LogLevel level_of(route::HealthChange change, const route::EndpointHealth& health) {
  if (change == route::HealthChange::kTrialDue) return LogLevel::kDebug;
  if (change != route::HealthChange::kEjected) return LogLevel::kNotice;
  return health.ejections_in_row > 1 ? LogLevel::kInfo : LogLevel::kWarn;
}

ipc::ProbeNow probe_of(OriginRef ref, EndpointKind kind) {
  ipc::ProbeNow probe;
  probe.origin = ref;
  probe.endpoint = kind;
  return probe;
}

}  // namespace

void Origins::publish(std::uint32_t slot) {
  ipc::OriginRecord& record = origins_[slot].record;
  record.ejected_kinds = 0;
  for (std::size_t i = 0; i < ipc::kEndpointKinds; ++i) {
    if (record.endpoint[i].health.ejected) {
      record.ejected_kinds = static_cast<std::uint8_t>(record.ejected_kinds | 1U << i);
    }
  }
  state_.put_origin(slot, record);
}

void Origins::report_dial(OriginRef ref, EndpointKind kind, std::uint64_t now_ms) {
  Origin* origin = find(ref);
  if (origin == nullptr || static_cast<std::size_t>(kind) >= ipc::kEndpointKinds) return;
  ++endpoint_of(origin->record, kind).dials_failed;
  publish(ref.slot);
  if (!may_be_judged(origin->record, kind)) return;
  std::uint64_t& next_ms = origin->next_probe_ms[static_cast<std::size_t>(kind)];
  if (now_ms < next_ms) return;
  next_ms = now_ms + kAskAgainMs;
  probes_.push_back(probe_of(ref, kind));
}

void Origins::report_probe(OriginRef ref, EndpointKind kind, bool ok, std::uint64_t now_ms) {
  Origin* origin = find(ref);
  if (origin == nullptr || !may_be_judged(origin->record, kind)) return;
  ipc::EndpointRecord& endpoint = endpoint_of(origin->record, kind);
  if (!ok) ++endpoint.probes_failed;
  if (ok) origin->record.unproven = false;
  note_change(ref.slot, kind,
              ok ? route::on_probe_ok(endpoint.health)
                 : route::on_probe_failed(endpoint.health, health_, now_ms));
  publish(ref.slot);
  note_next_change();
}

void Origins::note_change(std::uint32_t slot, EndpointKind kind, route::HealthChange change) {
  if (change == route::HealthChange::kNone) return;
  ipc::OriginRecord& record = origins_[slot].record;
  const ipc::EndpointRecord& endpoint = endpoint_of(record, kind);
  if (change == route::HealthChange::kTrialDue) probes_.push_back(probe_of(ref_of(slot), kind));
  LogLine line(level_of(change, endpoint.health), text_of(change));
  line.field("endpoint", to_string(kind))
      .field("address", to_string(record.endpoints[static_cast<std::size_t>(kind)][0]));
  describe(line, record)
      .field("failures_in_row", endpoint.health.failures_in_row)
      .field("ejections_in_row", endpoint.health.ejections_in_row)
      .field("streams", record.streams)
      .field("publishers", record.publishers);
}

// A new life begins without the old one's failures.
void Origins::note_heartbeat(std::uint32_t slot, std::uint64_t now_ms) {
  ipc::OriginRecord& record = origins_[slot].record;
  route::Life life = life_of(record);
  const route::LifeChange change = route::on_heartbeat(life, now_ms);
  put_life(record, life);
  record.unproven = false;
  if (change == route::LifeChange::kRevived) {
    for (ipc::EndpointRecord& each : record.endpoint) each.health = route::EndpointHealth{};
    LogLine line(LogLevel::kNotice, "origin is back, it sent a heartbeat");
    describe(line, record);
    note_next_change();
  }
  publish(slot);
}

void Origins::advance(std::uint32_t slot, std::uint64_t now_ms) {
  ipc::OriginRecord& record = origins_[slot].record;
  route::Life life = life_of(record);
  const route::LifeChange change = route::on_time(life, health_, now_ms);
  if (change == route::LifeChange::kDied) {
    put_life(record, life);
    publish(slot);
    LogLine line(LogLevel::kWarn, "origin is dead, no heartbeat within origin_ttl");
    describe(line, record).field("streams", record.streams);
  } else if (change == route::LifeChange::kForgotten && record.publishers == 0) {
    // With publishers it is not: that they are there is better proof than a missing heartbeat.
    retire(slot, "dead for longer than origin_forget");
    return;
  }
  advance_endpoints(slot, now_ms);
}

void Origins::advance_endpoints(std::uint32_t slot, std::uint64_t now_ms) {
  bool changed = false;
  for (std::size_t i = 0; i < ipc::kEndpointKinds; ++i) {
    for (;;) {
      const route::HealthChange change =
          route::on_time(origins_[slot].record.endpoint[i].health, health_, now_ms);
      if (change == route::HealthChange::kNone) break;
      note_change(slot, static_cast<EndpointKind>(i), change);
      changed = true;
    }
  }
  if (changed) publish(slot);
}

void Origins::tick(std::uint64_t now_ms) {
  const std::vector<std::uint32_t> slots = used_;  // one may be forgotten on the way
  for (const std::uint32_t slot : slots) advance(slot, now_ms);
  note_next_change();
}

void Origins::expire_ejections(std::uint64_t now_ms) {
  if (next_change_ms_ == 0 || now_ms < next_change_ms_) return;
  for (const std::uint32_t slot : used_) advance_endpoints(slot, now_ms);
  note_next_change();
}

void Origins::note_next_change() {
  next_change_ms_ = 0;
  for (const std::uint32_t slot : used_) {
    for (const ipc::EndpointRecord& each : origins_[slot].record.endpoint) {
      const std::uint64_t at = route::next_change_ms(each.health, health_);
      if (at != 0 && (next_change_ms_ == 0 || at < next_change_ms_)) next_change_ms_ = at;
    }
  }
}

std::vector<ipc::ProbeNow> Origins::take_probes() {
  return std::exchange(probes_, {});
}

}  // namespace weir
