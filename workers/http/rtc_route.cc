#include "workers/http/rtc_route.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "common/proto/http/target.h"
#include "ipc/origin_walk.h"

namespace weir::http {
namespace {

constexpr std::size_t kApi = static_cast<std::size_t>(ipc::EndpointKind::kApi);

// The origin whose API endpoint has the fingerprint of the resource's hint, whatever its state: the
// session is there or nowhere.
std::optional<OriginAt> find_by_hint(const ipc::StateView& state, const route::HintKey& hint_key,
                                     std::uint64_t fingerprint) {
  std::optional<OriginAt> found;
  ipc::any_origin(state, [&](ipc::OriginRef ref, const ipc::OriginRecord& record) {
    for (std::size_t i = 0; i < record.endpoint_count[kApi]; ++i) {
      const Endpoint& endpoint = record.endpoints[kApi][i];
      if (route::origin_fingerprint(hint_key, endpoint) != fingerprint) continue;
      found = OriginAt{ref, endpoint};
      return true;
    }
    return false;
  });
  return found;
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
  std::optional<ipc::OriginRef> found;
  ipc::any_origin(state, [&found](ipc::OriginRef ref, const ipc::OriginRecord& record) {
    if (record.takes(ipc::EndpointKind::kApi)) found = ref;
    return found.has_value();
  });
  return found;
}

}  // namespace weir::http
