#include "workers/control/origin_names.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/clock.h"
#include "common/net/tcp.h"
#include "ipc/origin_walk.h"

namespace weir::control {
namespace {

constexpr std::uint64_t kTickMs = 250;
constexpr std::uint64_t kTryMs = 1000;
constexpr std::uint64_t kTryAgainMs = 2000;
constexpr std::size_t kTried = 64;

bool has(const std::vector<Endpoint>& all, const Endpoint& address) {
  return std::any_of(all.begin(), all.end(),
                     [&address](const Endpoint& each) { return each.same_address(address); });
}

}  // namespace

OriginNames::OriginNames(event_base* base, const ipc::StateView& state, Resolver& resolver,
                         Send send)
    : base_(base),
      state_(state),
      resolver_(resolver),
      send_(std::move(send)),
      timer_(make_timer<&OriginNames::tick>(base, this)) {
  arm_soon();
}

void OriginNames::stop() {
  timer_.reset();
  names_.clear();
}

void OriginNames::tick() {
  const std::uint64_t now = monotonic_ms();
  for (auto& [key, name] : names_) name.seen = false;
  ipc::each_origin(state_, [&](ipc::OriginRef ref, const ipc::OriginRecord& record) {
    look_at(ref, record, now);
  });
  std::erase_if(names_, [](const auto& entry) { return !entry.second.seen; });
  arm(timer_, kTickMs);
}

void OriginNames::look_at(const ipc::OriginRef& ref, const ipc::OriginRecord& record,
                          std::uint64_t now_ms) {
  if (record.naming != ipc::Naming::kNone) return;  // NamedAnswers follows its name
  for (std::uint32_t host = 1; host <= record.hosts.count(); ++host) {
    Name& name = names_[{ref.slot, ref.generation, host}];
    name.seen = true;
    // A heartbeat may bring another name.
    if (!name.watch || name.watch.name() != record.hosts.at(host)) {
      name = Name{};
      name.seen = true;
      name.origin = ref;
      name.host = host;
      name.watch = resolver_.watch(record.hosts.at(host), [this] { arm_soon(); });
    }
    if (!name.watch || name.watch.addresses().empty()) continue;
    choose(name, record, now_ms);
    const Endpoint& current = record.addresses[host - 1];
    if (name.chosen.empty() || name.chosen.same_address(current)) continue;
    ipc::OriginAddress message;
    message.origin = ref;
    message.host = host;
    message.address = name.chosen;
    send_(message);
  }
}

void OriginNames::choose(Name& name, const ipc::OriginRecord& record, std::uint64_t now_ms) {
  const std::vector<Endpoint>& all = name.watch.addresses();
  const Endpoint& current = record.addresses[name.host - 1];
  if (!name.tries.empty()) {
    if (now_ms >= name.tries_end_ms) end_tries(name, now_ms);
    return;
  }
  if (all.size() == 1) {
    name.chosen = all.front();
    return;
  }
  if (!name.chosen.empty() && !has(all, name.chosen)) name.chosen = {};
  // What was chosen a moment ago may not be in the state yet.
  if (!name.chosen.empty() && !name.chosen.same_address(current)) return;
  const bool stands = !current.empty() && has(all, current);
  if ((stands && record.failures_in_row() == 0) || now_ms < name.next_tries_ms) return;
  if (current.port != 0) {
    begin_tries(name, current.port, now_ms);
    return;
  }
  // Over UDP alone: the next one, and probes will tell.
  const auto at = std::find_if(all.begin(), all.end(), [&current](const Endpoint& each) {
    return each.same_address(current);
  });
  name.chosen = at == all.end() || at + 1 == all.end() ? all.front() : *(at + 1);
  name.next_tries_ms = now_ms + kTryAgainMs;
}

void OriginNames::begin_tries(Name& name, std::uint16_t port, std::uint64_t now_ms) {
  name.tries_end_ms = now_ms + kTryMs;
  for (Endpoint address : name.watch.addresses()) {
    if (name.tries.size() == kTried) break;
    address.port = port;
    auto fd = net::start_connect(address, {});
    if (!fd) continue;
    auto one = std::make_unique<Try>();
    one->owner = this;
    one->name = &name;
    one->address = address;
    one->fd = std::move(*fd);
    one->event.reset(event_new(
        base_, one->fd.get(), EV_WRITE,
        [](evutil_socket_t, short, void* which) {
          auto* tried = static_cast<Try*>(which);
          tried->owner->on_connect(*tried);
        },
        one.get()));
    if (!one->event || event_add(one->event.get(), nullptr) != 0) continue;
    name.tries.push_back(std::move(one));
  }
  if (name.tries.empty()) end_tries(name, now_ms);
}

// `one` is gone afterwards.
void OriginNames::on_connect(Try& one) {
  Name& name = *one.name;
  ipc::OriginRecord record;
  const Endpoint current =
      state_.read_origin(name.origin, record) ? record.addresses[name.host - 1] : Endpoint{};
  const bool is_current = one.address.same_address(current);
  if (net::take_socket_error(one.fd.get()) == 0 && (name.first.empty() || is_current)) {
    name.first = one.address;
  }
  std::erase_if(name.tries, [&one](const auto& each) { return each.get() == &one; });
  const bool current_may_follow =
      std::any_of(name.tries.begin(), name.tries.end(),
                  [&current](const auto& each) { return each->address.same_address(current); });
  if (name.tries.empty() || (!name.first.empty() && !current_may_follow)) {
    end_tries(name, monotonic_ms());
  }
}

// When nobody took a connection one of them is shown all the same: probes will tell of it.
void OriginNames::end_tries(Name& name, std::uint64_t now_ms) {
  name.tries.clear();
  name.next_tries_ms = now_ms + kTryAgainMs;
  const Endpoint first = std::exchange(name.first, {});
  const std::vector<Endpoint>& all = name.watch.addresses();
  ipc::OriginRecord record;
  if (!first.empty()) {
    name.chosen = first;
  } else if (!all.empty() && state_.read_origin(name.origin, record) &&
             !has(all, record.addresses[name.host - 1])) {
    name.chosen = all.front();
  }
  name.chosen.port = 0;
  arm_soon();
}

}  // namespace weir::control
