// /metrics: what the workers count (ipc/metrics.def), then what the master keeps in shared memory.
#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/version.h"
#include "ipc/origin_walk.h"
#include "workers/control/text.h"
#include "workers/control/views.h"

namespace weir::control {
namespace {

class Exposition {
 public:
  // Once a family, before its samples.
  void family(std::string_view name, std::string_view type, std::string_view help) {
    out_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
    out_.append(name).append(" ").append(type).append("\n");
  }
  // `labels` as they stand between the braces, already escaped.
  void sample(std::string_view name, std::string_view labels, std::uint64_t value) {
    out_.append(name);
    if (!labels.empty()) out_.append("{").append(labels).append("}");
    out_.append(" ").append(std::to_string(value)).append("\n");
  }
  void single(std::string_view name, std::string_view type, std::string_view help,
              std::uint64_t value) {
    family(name, type, help);
    sample(name, "", value);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

std::string label(std::string_view name, std::string_view value) {
  return std::string(name) + "=\"" + escape_label(value) + "\"";
}

template <typename Atomic>
std::uint64_t load(const Atomic& value) {
  return value.load(std::memory_order_relaxed);
}

// Rows of one family may stand apart in the table; the format wants them together.
void write_counters(Exposition& out, const ipc::StateView& state,
                    const ipc::CountersView& counters) {
  const auto table = ipc::metric_table();
  std::vector<bool> done(table.size(), false);
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (done[i]) continue;
    const bool counter = table[i].kind == ipc::MetricKind::kCounter;
    out.family(table[i].name, counter ? "counter" : "gauge", table[i].doc);
    for (std::size_t j = i; j < table.size(); ++j) {
      if (table[j].name != table[i].name) continue;
      done[j] = true;
      const auto id = static_cast<ipc::Counter>(j);
      out.sample(table[j].name, table[j].labels, counters.total(state, id));
    }
  }
}

using OriginRow = std::pair<std::string, ipc::OriginRecord>;  // labels, record

// One family with a sample for each endpoint that each origin has.
template <typename Value>
void write_endpoints(Exposition& out, const std::vector<OriginRow>& rows, std::string_view name,
                     std::string_view type, std::string_view help, Value&& value) {
  out.family(name, type, help);
  for (const auto& [labels, origin] : rows) {
    for (std::size_t i = 0; i < ipc::kEndpointKinds; ++i) {
      const auto kind = static_cast<ipc::EndpointKind>(i);
      if (!origin.has(kind)) continue;
      out.sample(name, labels + "," + label("endpoint", to_string(kind)), value(origin, i));
    }
  }
}

std::vector<OriginRow> origin_rows(const ipc::StateView& state) {
  std::vector<OriginRow> rows;
  // Names of registered origins need not differ; the id does.
  ipc::each_origin(state, [&rows](ipc::OriginRef ref, const ipc::OriginRecord& origin) {
    rows.emplace_back(label("origin", text_of(origin.name)) + "," + label("id", origin_id(ref)),
                      origin);
  });
  return rows;
}

// Of names (`origins_from`).
void write_names(Exposition& out, const std::vector<OriginRow>& rows,
                 const ipc::StateHeader& header) {
  std::map<std::string, std::array<std::uint64_t, 2>, std::less<>> names;  // there, left
  for (const auto& [labels, origin] : rows) {
    if (origin.naming == ipc::Naming::kNone) continue;
    ++names[std::string(origin.hosts.at(1))][origin.naming == ipc::Naming::kLeft ? 1 : 0];
  }
  out.family("weir_named_origins", "gauge", "Origins that are addresses of a name, by name.");
  for (const auto& [name, counts] : names) {
    out.sample("weir_named_origins", label("host", name) + ",state=\"named\"", counts[0]);
    out.sample("weir_named_origins", label("host", name) + ",state=\"left\"", counts[1]);
  }
  out.family("weir_named_origin_changes_total", "counter", "Changes of what names stand for.");
  out.sample("weir_named_origin_changes_total", "change=\"added\"", load(header.named_added));
  out.sample("weir_named_origin_changes_total", "change=\"drained\"", load(header.named_drained));
  out.sample("weir_named_origin_changes_total", "change=\"back\"", load(header.named_returned));
  out.single("weir_named_addresses_waiting", "gauge",
             "Addresses of names that have no slot in the table of origins.",
             load(header.named_waiting));
}

void write_origins(Exposition& out, const ipc::StateView& state) {
  const OriginCounts counts = count_origins(state);
  out.family("weir_origins", "gauge", "Origins by state.");
  out.sample("weir_origins", label("state", "up"), counts.up);
  out.sample("weir_origins", label("state", "unresolved"), counts.unresolved);
  out.sample("weir_origins", label("state", "ejected"), counts.ejected);
  out.sample("weir_origins", label("state", "dead"), counts.dead);
  out.single("weir_origins_draining", "gauge", "Origins that take no new stream.", counts.draining);
  out.single("weir_origins_unproven", "gauge",
             "Origins of the last service that nobody has heard of since.", counts.unproven);

  const std::vector<OriginRow> rows = origin_rows(state);
  write_names(out, rows, state.header());
  out.family("weir_origin_up", "gauge", "1 while the origin takes traffic.");
  for (const auto& [labels, origin] : rows) {
    out.sample("weir_origin_up", labels, state_text(origin) == "up" ? 1 : 0);
  }
  out.family("weir_origin_streams", "gauge", "Streams that live at the origin.");
  for (const auto& [labels, origin] : rows) {
    out.sample("weir_origin_streams", labels, origin.streams);
  }
  out.family("weir_origin_sessions", "gauge", "Sessions at the origin by role.");
  for (const auto& [labels, origin] : rows) {
    out.sample("weir_origin_sessions", labels + ",role=\"publisher\"", origin.publishers);
    out.sample("weir_origin_sessions", labels + ",role=\"player\"", origin.players);
  }
  write_endpoints(out, rows, "weir_origin_endpoint_up", "gauge",
                  "1 while clients are sent to this endpoint.", [](const auto& o, std::size_t i) {
                    return o.takes(static_cast<ipc::EndpointKind>(i)) ? 1U : 0U;
                  });
  write_endpoints(out, rows, "weir_origin_dial_failures_total", "counter",
                  "Clients' dials to the endpoint that failed.",
                  [](const auto& o, std::size_t i) { return o.endpoint[i].dials_failed; });
  write_endpoints(out, rows, "weir_origin_probe_failures_total", "counter",
                  "Probes of the endpoint that failed.",
                  [](const auto& o, std::size_t i) { return o.endpoint[i].probes_failed; });
}

// What the origins' own APIs show, by origin, and what was kept.
void write_sources(Exposition& out, const ipc::StateView& state) {
  struct Sum {
    std::uint64_t streams = 0;
    std::uint64_t kbps = 0;
  };
  std::vector<Sum> sums(state.header().origin_capacity);
  std::uint64_t kept = 0;
  std::uint64_t left = load(state.header().streams_used);
  for (std::uint32_t slot = 0; slot < state.header().stream_capacity && left > 0; ++slot) {
    ipc::StreamHead stream;
    if (!state.read_stream_head(slot, stream)) continue;
    --left;
    if (stream.has(ipc::kKept)) ++kept;
    if (!stream.has(ipc::kLearned) || stream.origin_slot >= sums.size()) continue;
    ++sums[stream.origin_slot].streams;
    sums[stream.origin_slot].kbps += stream.facts.kbps;
  }
  struct Row {
    std::string labels;
    Sum sum;
    bool fresh;
  };
  std::vector<Row> rows;
  ipc::each_origin(state, [&](ipc::OriginRef ref, const ipc::OriginRecord& origin) {
    if (origin.learn_state == ipc::LearnState::kUnknown) return;
    rows.push_back({label("origin", text_of(origin.name)) + "," + label("id", origin_id(ref)),
                    sums[ref.slot], origin.learn_state == ipc::LearnState::kFresh});
  });
  out.single("weir_streams_kept", "gauge",
             "Streams of the last service that nobody has shown since.", kept);
  out.family("weir_origin_learn_up", "gauge", "1 while the origin's API shows its streams.");
  for (const Row& row : rows) out.sample("weir_origin_learn_up", row.labels, row.fresh ? 1U : 0U);
  out.family("weir_origin_learned_streams", "gauge",
             "Streams that live where the origin's API shows them.");
  for (const Row& row : rows) {
    out.sample("weir_origin_learned_streams", row.labels, row.sum.streams);
  }
  out.family("weir_origin_learned_bits_per_second", "gauge",
             "What their publishers send, as the origin's API says.");
  for (const Row& row : rows) {
    out.sample("weir_origin_learned_bits_per_second", row.labels, row.sum.kbps * 1000);
  }
}

void write_workers(Exposition& out, const ipc::StateView& state) {
  static constexpr std::size_t kStates = 4;
  std::array<std::array<std::uint64_t, kStates>, ipc::kWorkerKinds> counts{};
  for (std::uint32_t slot = 0; slot < state.header().worker_capacity; ++slot) {
    ipc::WorkerRecord worker;
    if (!state.read_worker(slot, worker)) continue;
    const auto kind = static_cast<std::size_t>(worker.kind);
    const auto phase = static_cast<std::size_t>(worker.state);
    if (kind < counts.size() && phase < kStates) ++counts[kind][phase];
  }
  out.family("weir_workers", "gauge", "Worker processes by kind and state.");
  for (std::size_t kind = 0; kind < counts.size(); ++kind) {
    for (const auto phase :
         {ipc::WorkerState::kStarting, ipc::WorkerState::kReady, ipc::WorkerState::kDraining}) {
      out.sample("weir_workers",
                 label("kind", to_string(static_cast<ipc::WorkerKind>(kind))) + "," +
                     label("state", to_string(phase)),
                 counts[kind][static_cast<std::size_t>(phase)]);
    }
  }
}

void write_master(Exposition& out, const ipc::StateHeader& header) {
  out.single("weir_streams", "gauge", "Streams that have an origin.", load(header.streams_used));
  out.single("weir_streams_learned", "gauge", "Streams that their origin's own API shows.",
             load(header.streams_learned));
  out.single("weir_stream_conflicts", "gauge", "Streams that two origins show at this moment.",
             load(header.conflicts_now));
  out.single("weir_stream_conflicts_total", "counter",
             "Streams that were published at two origins at once.", load(header.stream_conflicts));
  out.single("weir_master_sessions", "gauge", "Sessions that the master knows of.",
             load(header.sessions));
  out.single("weir_generations", "gauge", "Configuration generations with a living process.",
             load(header.generations_alive));
  out.single("weir_generation", "gauge", "Newest configuration generation.",
             load(header.generation));
  out.family("weir_reloads_total", "counter", "Reloads by result.");
  out.sample("weir_reloads_total", "result=\"ok\"", load(header.reloads));
  out.sample("weir_reloads_total", "result=\"failed\"", load(header.reloads_failed));
  out.single("weir_generations_ended_total", "counter",
             "Old generations whose sessions were ended to make room for another.",
             load(header.generations_ended));
  out.single("weir_worker_deaths_total", "counter", "Workers that ended unasked.",
             load(header.worker_deaths));
  out.family("weir_table_slots", "gauge", "Capacity of the tables in shared memory.");
  out.sample("weir_table_slots", "table=\"origins\"", header.origin_capacity);
  out.sample("weir_table_slots", "table=\"streams\"", header.stream_capacity);
  out.sample("weir_table_slots", "table=\"workers\"", header.worker_capacity);
  out.family("weir_table_refused_total", "counter", "Requests refused because a table was full.");
  out.sample("weir_table_refused_total", "table=\"origins\"", load(header.origins_refused));
  out.sample("weir_table_refused_total", "table=\"streams\"", load(header.streams_refused));
  out.family("weir_build_info", "gauge", "1, with the version as label.");
  out.sample("weir_build_info", label("version", version()), 1);
  out.single("process_start_time_seconds", "gauge", "When the master started, Unix time.",
             header.started_wall_ms / 1000);
}

}  // namespace

std::string metrics_text(const ipc::StateView& state, const ipc::CountersView& counters,
                         std::optional<std::int64_t> certificate_end) {
  Exposition out;
  write_counters(out, state, counters);
  write_origins(out, state);
  write_sources(out, state);
  write_workers(out, state);
  write_master(out, state.header());
  if (certificate_end) {
    const std::int64_t left = *certificate_end - static_cast<std::int64_t>(wall_ms() / 1000);
    out.single("weir_tls_certificate_days_left", "gauge",
               "Whole days until the first of the certificates ends; 0 from then on.",
               left < 0 ? 0 : static_cast<std::uint64_t>(left) / 86400);
  }
  return out.take();
}

}  // namespace weir::control
