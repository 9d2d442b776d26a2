// The session table of WebRTC and SRT as JSON and as Prometheus text: reads, changes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ipc/flow_reader.h"
#include "ipc/route_reader.h"
#include "workers/control/json.h"
#include "workers/control/views.h"

namespace weir::control {

// "<slot>-<generation>", the id of a session in paths and answers.
std::string flow_id(ipc::FlowRef flow);
std::optional<ipc::FlowRef> parse_flow_id(std::string_view text);

// Credentials stay inside: of the username the first four characters are shown.
JsonPtr session_row(const ipc::StateView& state, const ipc::FlowRecord& flow, std::uint32_t slot,
                    std::uint64_t now_ms);
JsonPtr sessions_page(const ipc::StateView& state, const ipc::FlowView& flows, Page page,
                      std::uint64_t now_ms);
// Goes behind metrics_text().
std::string session_metrics(const ipc::FlowView& flows);

}  // namespace weir::control
