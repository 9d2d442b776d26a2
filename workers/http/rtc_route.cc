#include "workers/http/rtc_route.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "common/proto/http/target.h"

namespace weir::http {
namespace {

constexpr std::size_t kApi = static_cast<std::size_t>(ipc::EndpointKind::kApi);

// The origin whose API endpoint has the fingerprint of the resource's hint, whatever its state: the
// session is there or nowhere.
std::optional<OriginAt> find_by_hint(const ipc::StateView& state, const route::HintKey& hint_key,
                                     std::uint64_t fingerprint) {
  std::uint32_t left = state.header().origins_used.load(std::memory_order_relaxed);
  for (std::uint32_t slot = 0; slot < state.header().origin_capacity && left > 0; ++slot) {
    ipc::OriginRecord record;
    if (!state.read_origin(slot, record)) continue;
    --left;
    for (std::size_t i = 0; i < record.endpoint_count[kApi]; ++i) {
      const Endpoint& endpoint = record.endpoints[kApi][i];
      if (route::origin_fingerprint(hint_key, endpoint) != fingerprint) continue;
      return OriginAt{{slot, record.generation}, endpoint};
    }
  }
  return std::nullopt;
}

// SRS's nack names a session by its USERNAME.
std::optional<OriginAt> find_by_username(const std::optional<ipc::FlowView>& flows,
                                         std::string_view target) {
  const auto value =
      find_param(target.substr(std::min(target.find('?') + 1, target.size())), "username");
  std::string username;
  ipc::FlowRecord record;
  if (!value || !flows || !percent_decode(*value, username) ||
      !flows->find_username(username, record)) {
    return std::nullopt;
  }
  return OriginAt{record.origin, {}};
}

}  // namespace

std::optional<OriginAt> find_session_origin(const ipc::StateView& state,
                                            const std::optional<ipc::FlowView>& flows,
                                            const route::HintKey& hint_key, const RtcPlan& plan) {
  if (plan.origin) {
    if (auto found = find_by_hint(state, hint_key, *plan.origin)) return found;
  }
  return plan.step == RtcStep::kNack ? find_by_username(flows, plan.target) : std::nullopt;
}

std::optional<ipc::OriginRef> find_adviser(const ipc::StateView& state, const RtcPlan& plan) {
  const ipc::Role role = plan.publisher ? ipc::Role::kPublisher : ipc::Role::kPlayer;
  if (!plan.key.empty()) {
    if (const auto route = state.find_route(plan.key, role, ipc::EndpointKind::kApi)) return route;
  }
  std::uint32_t left = state.header().origins_used.load(std::memory_order_relaxed);
  for (std::uint32_t slot = 0; slot < state.header().origin_capacity && left > 0; ++slot) {
    ipc::OriginRecord record;
    if (!state.read_origin(slot, record)) continue;
    --left;
    if (record.takes(ipc::EndpointKind::kApi)) return ipc::OriginRef{slot, record.generation};
  }
  return std::nullopt;
}

}  // namespace weir::http
