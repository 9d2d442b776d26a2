// The shared state as JSON and as Prometheus text: reads the tables, changes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ipc/counters.h"
#include "ipc/route_reader.h"
#include "workers/control/json.h"

namespace weir::control {

struct Page {
  std::uint64_t start = 0;  // rows to pass over
  std::uint64_t count = 0;  // rows to show
};

// "<slot>-<generation>", the id of an origin in paths and answers.
std::string origin_id(ipc::OriginRef ref);
std::optional<ipc::OriginRef> parse_origin_id(std::string_view text);

JsonPtr origin_row(const ipc::OriginRecord& origin, std::uint32_t slot, std::uint64_t now_ms);
// `before`: the state of the program that this one replaces, whose sessions are counted, too; null:
// none lives.
JsonPtr stream_row(const ipc::StateView& state, const ipc::StreamRecord& stream,
                   std::uint64_t now_ms, const ipc::StateView* before = nullptr);
// Whole answers, code 0.
JsonPtr origins_page(const ipc::StateView& state, Page page, std::uint64_t now_ms);
JsonPtr streams_page(const ipc::StateView& state, Page page, std::uint64_t now_ms,
                     const ipc::StateView* before = nullptr);
JsonPtr workers_answer(const ipc::StateView& state, const ipc::CountersView& counters);
JsonPtr summaries_answer(const ipc::StateView& state, const ipc::CountersView& counters,
                         std::uint64_t now_wall_ms);

struct OriginCounts {
  std::uint64_t up = 0, unresolved = 0, ejected = 0, dead = 0, draining = 0, unproven = 0;
};
OriginCounts count_origins(const ipc::StateView& state);
bool has_ready_worker(const ipc::StateView& state, ipc::WorkerKind kind);

// The exposition format 0.0.4, whole.
// `certificate_end`: Unix time when the first of the certificates ends; empty: there is none.
std::string metrics_text(const ipc::StateView& state, const ipc::CountersView& counters,
                         std::optional<std::int64_t> certificate_end = std::nullopt);

}  // namespace weir::control
