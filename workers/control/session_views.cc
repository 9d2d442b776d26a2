#include "workers/control/session_views.h"

#include <algorithm>
#include <atomic>

#include "common/base/log.h"
#include "ipc/flow_messages.h"
#include "workers/control/text.h"

namespace weir::control {
namespace {

constexpr std::size_t kShownUfrag = 4;
constexpr std::size_t kShownSocketId = 4;  // hexadecimal digits, the last ones

std::uint64_t since(std::uint64_t then, std::uint64_t now) {
  return then != 0 && now > then ? now - then : 0;
}
std::string address(const Endpoint& endpoint) {
  return endpoint.empty() ? std::string() : to_string(endpoint);
}
// Not whole: whoever knows it can speak for its owner.
std::string shown_socket_id(std::uint32_t id) {
  std::string out;
  for (std::size_t i = kShownSocketId; id != 0 && i-- > 0;) {
    out.push_back("0123456789abcdef"[(id >> (4 * i)) & 0xF]);
  }
  return out;
}
std::uint64_t sessions_in(const ipc::FlowView& flows) {
  std::uint64_t used = 0;
  for (const auto& kind : flows.header().used) {
    for (const auto& state : kind) used += state.load(std::memory_order_relaxed);
  }
  return used;
}

void add_family(std::string& out, std::string_view name, std::string_view type,
                std::string_view help) {
  out.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
  out.append(name).append(" ").append(type).append("\n");
}
void add_sample(std::string& out, std::string_view name, const std::string& labels,
                std::uint64_t value) {
  out.append(name);
  if (!labels.empty()) out.append("{").append(labels).append("}");
  out.append(" ").append(std::to_string(value)).append("\n");
}
std::string protocol_label(std::size_t kind) {
  return "protocol=\"" + std::string(to_string(static_cast<ipc::FlowKind>(kind))) + "\"";
}
void add_by_protocol(std::string& out, std::string_view name, std::string_view help,
                     const std::atomic<std::uint64_t> (&values)[ipc::kFlowKinds]) {
  add_family(out, name, "counter", help);
  for (std::size_t kind = 0; kind < ipc::kFlowKinds; ++kind) {
    add_sample(out, name, protocol_label(kind), values[kind].load(std::memory_order_relaxed));
  }
}

}  // namespace

std::string flow_id(ipc::FlowRef flow) {
  return origin_id({flow.slot, flow.generation});
}

std::optional<ipc::FlowRef> parse_flow_id(std::string_view text) {
  const auto parts = parse_origin_id(text);
  if (!parts) return std::nullopt;
  return ipc::FlowRef{parts->slot, parts->generation};
}

JsonPtr session_row(const ipc::StateView& state, const ipc::FlowRecord& flow, std::uint32_t slot,
                    std::uint64_t now_ms) {
  JsonPtr row = make_object();
  cJSON* json = row.get();
  add_text(json, "id", flow_id({slot, flow.generation}));
  add_text(json, "session", session_text(flow.session));
  add_text(json, "group", session_text(flow.group));
  add_text(json, "protocol", to_string(flow.kind));
  add_text(json, "state", to_string(flow.state));
  add_text(json, "role", to_string(flow.role));
  add_text(json, "transport", to_string(flow.transport));
  add_text(json, "stream", flow.get(ipc::FlowField::kKey));
  if (flow.kind == ipc::FlowKind::kRtc) {
    add_text(json, "ufrag", flow.get(ipc::FlowField::kUsername).substr(0, kShownUfrag));
  } else {
    add_text(json, "caller_socket", shown_socket_id(flow.srt_caller_id));
    add_text(json, "origin_socket", shown_socket_id(flow.srt_listener_id));
  }
  ipc::OriginRecord origin;
  const bool there = state.read_origin(flow.origin, origin);
  add_text(json, "origin", there ? origin_id(flow.origin) : std::string());
  add_text(json, "origin_name", there ? text_of(origin.name) : std::string_view());
  add_text(json, "origin_endpoint", address(flow.origin_endpoint));
  add_text(json, "upstream", address(flow.upstream_local));
  add_text(json, "client", address(flow.client));
  add_text(json, "local", address(flow.local));
  add_text(json, "signalled_by", ip_to_string(flow.signaller));
  ipc::WorkerRecord worker;
  const bool owned = state.read_worker(flow.owner, worker);
  add_number(json, "worker_pid", owned ? static_cast<std::uint64_t>(worker.pid) : 0);
  add_number(json, "age_ms", since(flow.created_ms, now_ms));
  add_number(json, "idle_ms", since(flow.activity_ms, now_ms));
  add_number(json, "stun_age_ms", since(flow.stun_ms, now_ms));
  add_number(json, "packets_from_client", flow.counters.packets_from_client);
  add_number(json, "bytes_from_client", flow.counters.bytes_from_client);
  add_number(json, "packets_to_client", flow.counters.packets_to_client);
  add_number(json, "bytes_to_client", flow.counters.bytes_to_client);
  add_number(json, "drops", flow.counters.drops);
  if (flow.kind == ipc::FlowKind::kSrt) {
    add_number(json, "lost_from_client", flow.counters.lost_from_client);
    add_number(json, "lost_to_client", flow.counters.lost_to_client);
    add_number(json, "rtt_us", flow.srt_rtt_us);
    add_number(json, "rtt_variance_us", flow.srt_rtt_variance_us);
  }
  return row;
}

JsonPtr sessions_page(const ipc::StateView& state, const ipc::FlowView& flows, Page page,
                      std::uint64_t now_ms) {
  const std::uint64_t used = sessions_in(flows);
  JsonPtr answer = make_object();
  add_number(answer.get(), "code", 0);
  add_number(answer.get(), "total", used);
  add_number(answer.get(), "start", page.start);
  cJSON* list = add_child(answer.get(), "sessions", make_array());
  std::uint64_t seen = 0;
  for (std::uint32_t slot = 0; slot < flows.header().capacity && seen < used; ++slot) {
    ipc::FlowRecord flow;
    if (!flows.read_slot(slot, flow)) continue;
    if (seen++ < page.start) continue;
    if (seen > page.start + page.count) break;
    append(list, session_row(state, flow, slot, now_ms));
  }
  return answer;
}

std::string session_metrics(const ipc::FlowView& flows) {
  const ipc::FlowHeader& header = flows.header();
  std::string out;
  add_family(out, "weir_udp_sessions", "gauge", "Sessions of WebRTC and SRT in the table.");
  for (std::size_t kind = 0; kind < ipc::kFlowKinds; ++kind) {
    for (const auto state : {ipc::FlowState::kSignalled, ipc::FlowState::kConnected}) {
      const std::size_t column = state == ipc::FlowState::kConnected ? 1 : 0;
      const std::string labels =
          protocol_label(kind) + ",state=\"" + std::string(to_string(state)) + "\"";
      add_sample(out, "weir_udp_sessions", labels,
                 header.used[kind][column].load(std::memory_order_relaxed));
    }
  }
  add_family(out, "weir_udp_session_slots", "gauge", "Capacity of the table of sessions.");
  add_sample(out, "weir_udp_session_slots", "", header.capacity);
  add_by_protocol(out, "weir_udp_sessions_signalled_total", "Sessions signalled.", header.created);
  add_by_protocol(out, "weir_udp_session_claims_total",
                  "Addresses that clients proved: first ones and new ones.", header.claims);
  add_by_protocol(out, "weir_udp_session_takeovers_total",
                  "Sessions that went on with another worker.", header.takeovers);
  add_by_protocol(out, "weir_udp_sessions_restored_total",
                  "Sessions taken up from an earlier master.", header.restored);
  add_by_protocol(out, "weir_udp_sessions_ended_total", "Sessions ended.", header.ended);
  add_family(out, "weir_udp_session_refusals_total", "counter",
             "Messages about sessions that the master refused, by reason.");
  for (std::size_t i = 1; i < ipc::kFlowStatuses; ++i) {
    const std::string reason(to_string(static_cast<ipc::FlowStatus>(i)));
    add_sample(out, "weir_udp_session_refusals_total", "reason=\"" + reason + "\"",
               header.refused[i].load(std::memory_order_relaxed));
  }
  return out;
}

}  // namespace weir::control
