// Which origin a signalling request goes to when that is not left to the stream's route: the one
// that has the session, or any for advice. Pure but for reading the shared state. Owner: RtcSignal.
#pragma once

#include <optional>

#include "common/route/origin_hint.h"
#include "ipc/flow_reader.h"
#include "ipc/route_reader.h"
#include "workers/http/location_origin.h"
#include "workers/http/rtc_plan_session.h"

namespace weir::http {

// By the resource's hint, or by the session that SRS's nack names. An empty endpoint: any.
std::optional<OriginAt> find_session_origin(const ipc::StateView& state,
                                            const std::optional<ipc::FlowView>& flows,
                                            const route::HintKey& hint_key, const RtcPlan& plan);
// OPTIONS: the stream's origin says what ICE servers there are, or any other that is up. No origin
// is chosen for the stream.
std::optional<ipc::OriginRef> find_adviser(const ipc::StateView& state, const RtcPlan& plan);

}  // namespace weir::http
