#include "workers/control/views.h"

#include <algorithm>
#include <array>
#include <string>

#include "common/base/version.h"
#include "common/config/values.h"
#include "ipc/origin_walk.h"
#include "workers/control/text.h"

namespace weir::control {
namespace {

using ipc::WorkerState;

std::uint64_t since(std::uint64_t then, std::uint64_t now) {
  return now > then ? now - then : 0;
}

void add_page_head(cJSON* json, std::uint64_t total, Page page) {
  add_number(json, "code", 0);
  add_number(json, "total", total);
  add_number(json, "start", page.start);
}

// Calls `row(slot, record)` for the rows of the page. `read` says whether a slot is in use. Stops
// as soon as the page is full or all `used` rows were seen.
template <typename Record, typename Read, typename Row>
void for_page(std::uint32_t capacity, std::uint64_t used, Page page, Read&& read, Row&& row) {
  std::uint64_t seen = 0;
  for (std::uint32_t slot = 0; slot < capacity && seen < used; ++slot) {
    Record record;
    if (!read(slot, record)) continue;
    if (seen++ < page.start) continue;
    if (seen > page.start + page.count) return;
    row(slot, record);
  }
}

// Of the endpoints, and what they come to for the origin as a whole.
void add_health(cJSON* json, const ipc::OriginRecord& origin, std::uint64_t now_ms) {
  const bool ejected = state_text(origin) == "ejected";
  std::uint64_t dials_failed = 0;
  std::uint64_t ejected_for = 0;
  cJSON* list = add_child(json, "endpoints", make_array());
  for (std::size_t i = 0; i < ipc::kEndpointKinds; ++i) {
    const auto kind = static_cast<ipc::EndpointKind>(i);
    if (!origin.has(kind)) continue;
    const ipc::EndpointRecord& endpoint = origin.endpoint[i];
    const std::uint64_t left =
        endpoint.health.ejected ? since(now_ms, endpoint.health.ejected_until_ms) : 0;
    JsonPtr row = make_object();
    add_text(row.get(), "endpoint", to_string(kind));
    add_text(row.get(), "state", endpoint.health.ejected ? "ejected" : "up");
    add_flag(row.get(), "probed", ipc::can_be_probed(kind));
    add_number(row.get(), "failures_in_row", endpoint.health.failures_in_row);
    add_number(row.get(), "ejected_for_ms", left);
    add_number(row.get(), "dials_failed", endpoint.dials_failed);
    add_number(row.get(), "probes_failed", endpoint.probes_failed);
    append(list, std::move(row));
    dials_failed += endpoint.dials_failed;
    // Of the first that made it so: of RTMP, if there is any.
    if (ejected && endpoint.health.ejected && ejected_for == 0) ejected_for = left;
  }
  add_number(json, "failures_in_row", origin.failures_in_row());
  add_number(json, "dials_failed", dials_failed);
  add_number(json, "ejected_for_ms", ejected_for);
}

// Names in the place of addresses, and what each stands for; "": nobody has said yet.
void add_hosts(cJSON* json, const ipc::OriginRecord& origin) {
  cJSON* list = add_child(json, "hosts", make_array());
  for (std::size_t i = 0; i < origin.hosts.count(); ++i) {
    JsonPtr row = make_object();
    add_text(row.get(), "name", origin.hosts.at(i + 1));
    add_text(row.get(), "address", ip_to_string(origin.addresses[i]));
    append(list, std::move(row));
  }
}

std::string_view counter_name(ipc::Counter id) {
  return ipc::metric_table()[static_cast<std::size_t>(id)].id;
}

// Why the stream is thought to be where it is (docs/STREAMS.md).
std::string_view source_text(const ipc::StreamHead& stream) {
  if (stream.publishers > 0) return "published";
  if (stream.has(ipc::kLearned)) return "learned";
  if (stream.has(ipc::kSearched)) return "searched";
  return stream.has(ipc::kKept) ? "kept" : "played";
}

}  // namespace

std::string origin_id(ipc::OriginRef ref) {
  return std::to_string(ref.slot) + "-" + std::to_string(ref.generation);
}

std::optional<ipc::OriginRef> parse_origin_id(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto slot = parse_number(text.substr(0, dash), UINT32_MAX);
  const auto generation = parse_number(text.substr(dash + 1), UINT32_MAX);
  if (!slot || !generation) return std::nullopt;
  return ipc::OriginRef{static_cast<std::uint32_t>(*slot), static_cast<std::uint32_t>(*generation)};
}

JsonPtr origin_row(const ipc::OriginRecord& origin, std::uint32_t slot, std::uint64_t now_ms) {
  JsonPtr row = make_object();
  cJSON* json = row.get();
  add_text(json, "id", origin_id({slot, origin.generation}));
  add_text(json, "name", text_of(origin.name));
  add_text(json, "server", text_of(origin.server));
  add_text(json, "service", text_of(origin.service));
  add_text(json, "pid", text_of(origin.pid));
  add_text(json, "device_id", text_of(origin.device_id));
  add_text(json, "ip", ip_to_string(origin.ip));
  add_hosts(json, origin);
  for (std::size_t kind = 0; kind < ipc::kEndpointKinds; ++kind) {
    const std::string name(to_string(static_cast<ipc::EndpointKind>(kind)));
    cJSON* list = add_child(json, name.c_str(), make_array());
    const std::size_t count =
        std::min<std::size_t>(origin.endpoint_count[kind], limits::kEndpointsPerKind);
    for (std::size_t i = 0; i < count; ++i) {
      append_text(list, config::print_endpoint(origin.endpoints[kind][i]));
    }
  }
  add_text(json, "state", state_text(origin));
  add_flag(json, "draining", origin.draining);
  add_flag(json, "static", origin.is_static);
  add_flag(json, "unproven", origin.unproven);
  const bool named = origin.naming != ipc::Naming::kNone;
  add_text(json, "from",
           named              ? origin.hosts.at(1)
           : origin.is_static ? "configuration"
                              : "registration");
  add_flag(json, "left", origin.naming == ipc::Naming::kLeft);
  add_number(json, "weight", origin.weight);
  add_number(json, "streams", origin.streams);
  add_number(json, "publishers", origin.publishers);
  add_number(json, "players", origin.players);
  add_health(json, origin, now_ms);
  add_number(json, "heartbeat_age_ms", origin.is_static ? 0 : since(origin.heartbeat_ms, now_ms));
  add_text(json, "registered", iso_time(origin.registered_wall_ms));
  cJSON* learn = add_child(json, "learn", make_object());
  add_text(learn, "mode", to_string(origin.learn_mode));
  add_text(learn, "api", to_string(origin.learn_api));
  add_text(learn, "state", to_string(origin.learn_state));
  return row;
}

JsonPtr stream_row(const ipc::StateView& state, const ipc::StreamRecord& row_now,
                   std::uint64_t now_ms, const ipc::StateView* before) {
  ipc::StreamRecord stream = row_now;
  ipc::StreamHead old;
  if (before != nullptr && before->find_stream(stream.key_text(), old)) {
    stream.publishers += old.publishers;
    stream.players += old.players;
  }
  JsonPtr row = make_object();
  cJSON* json = row.get();
  const std::string_view key = stream.key_text();
  const std::size_t first = key.find('/');
  const std::size_t last = key.rfind('/');
  add_text(json, "key", key);
  add_text(json, "vhost", key.substr(0, first));
  add_text(json, "app", first < last ? key.substr(first + 1, last - first - 1) : "");
  add_text(json, "stream", last == std::string_view::npos ? "" : key.substr(last + 1));
  const ipc::OriginRef ref{stream.origin_slot, stream.origin_generation};
  ipc::OriginRecord origin;
  const bool there = state.read_origin(ref, origin);
  add_text(json, "origin", origin_id(ref));
  add_text(json, "origin_name", there ? text_of(origin.name) : std::string_view());
  add_number(json, "publishers", stream.publishers);
  add_number(json, "players", stream.players);
  add_text(json, "created", iso_time(std::uint64_t{stream.created_wall_s} * 1000));
  const bool idle = stream.publishers == 0 && stream.players == 0;
  add_number(json, "idle_ms", idle ? since(stream.last_use_ms, now_ms) : 0);
  add_text(json, "source", source_text(stream));
  // What the origin's own API says.
  add_flag(json, "learned", stream.has(ipc::kLearned));
  add_text(json, "video", to_string(stream.facts.video));
  add_text(json, "audio", to_string(stream.facts.audio));
  add_number(json, "kbps", stream.facts.kbps);
  return row;
}

JsonPtr origins_page(const ipc::StateView& state, Page page, std::uint64_t now_ms) {
  const auto& header = state.header();
  const std::uint64_t used = header.origins_used.load(std::memory_order_relaxed);
  JsonPtr answer = make_object();
  add_page_head(answer.get(), used, page);
  cJSON* list = add_child(answer.get(), "origins", make_array());
  for_page<ipc::OriginRecord>(
      header.origin_capacity, used, page,
      [&](std::uint32_t slot, ipc::OriginRecord& out) { return state.read_origin(slot, out); },
      [&](std::uint32_t slot, const ipc::OriginRecord& origin) {
        append(list, origin_row(origin, slot, now_ms));
      });
  return answer;
}

JsonPtr streams_page(const ipc::StateView& state, Page page, std::uint64_t now_ms,
                     const ipc::StateView* before) {
  const auto& header = state.header();
  const std::uint64_t used = header.streams_used.load(std::memory_order_relaxed);
  JsonPtr answer = make_object();
  add_page_head(answer.get(), used, page);
  cJSON* list = add_child(answer.get(), "streams", make_array());
  for_page<ipc::StreamRecord>(
      header.stream_capacity, used, page,
      [&](std::uint32_t slot, ipc::StreamRecord& out) { return state.read_stream(slot, out); },
      [&](std::uint32_t, const ipc::StreamRecord& stream) {
        append(list, stream_row(state, stream, now_ms, before));
      });
  return answer;
}

JsonPtr workers_answer(const ipc::StateView& state, const ipc::CountersView& counters) {
  const auto& header = state.header();
  JsonPtr answer = make_object();
  add_number(answer.get(), "code", 0);
  cJSON* master = add_child(answer.get(), "master", make_object());
  add_number(master, "pid", static_cast<std::uint64_t>(header.master_pid));
  add_text(master, "started", iso_time(header.started_wall_ms));
  cJSON* list = add_child(answer.get(), "workers", make_array());
  for (std::uint32_t slot = 0; slot < header.worker_capacity; ++slot) {
    ipc::WorkerRecord worker;
    if (!state.read_worker(slot, worker)) continue;
    JsonPtr row = make_object();
    add_number(row.get(), "pid", static_cast<std::uint64_t>(worker.pid));
    add_text(row.get(), "kind", to_string(worker.kind));
    add_number(row.get(), "slot", worker.slot);
    add_number(row.get(), "generation", worker.generation);
    add_text(row.get(), "state", to_string(worker.state));
    add_text(row.get(), "started", iso_time(worker.started_wall_ms));
    add_number(row.get(), "respawns", worker.respawns);
    cJSON* values = add_child(row.get(), "counters", make_object());
    for (std::size_t i = 0; i < ipc::kCounterCount; ++i) {
      const auto id = static_cast<ipc::Counter>(i);
      const std::uint64_t value = counters.get(slot, id);
      if (value != 0) add_number(values, std::string(counter_name(id)).c_str(), value);
    }
    append(list, std::move(row));
  }
  return answer;
}

OriginCounts count_origins(const ipc::StateView& state) {
  OriginCounts counts;
  ipc::each_origin(state, [&counts](ipc::OriginRef, const ipc::OriginRecord& origin) {
    const std::string_view word = state_text(origin);
    if (word == "up") ++counts.up;
    if (word == "unresolved") ++counts.unresolved;
    if (word == "ejected") ++counts.ejected;
    if (word == "dead") ++counts.dead;
    if (origin.draining) ++counts.draining;
    if (origin.unproven) ++counts.unproven;
  });
  return counts;
}

bool has_ready_worker(const ipc::StateView& state, ipc::WorkerKind kind) {
  for (std::uint32_t slot = 0; slot < state.header().worker_capacity; ++slot) {
    ipc::WorkerRecord worker;
    if (state.read_worker(slot, worker) && worker.kind == kind &&
        worker.state == WorkerState::kReady) {
      return true;
    }
  }
  return false;
}

JsonPtr summaries_answer(const ipc::StateView& state, const ipc::CountersView& counters,
                         std::uint64_t now_wall_ms) {
  const auto& header = state.header();
  const auto load = [](const auto& value) -> std::uint64_t {
    return value.load(std::memory_order_relaxed);
  };
  JsonPtr answer = make_object();
  cJSON* json = answer.get();
  add_number(json, "code", 0);
  add_text(json, "version", version());
  add_text(json, "started", iso_time(header.started_wall_ms));
  add_number(json, "uptime_ms", since(header.started_wall_ms, now_wall_ms));
  add_number(json, "generation", load(header.generation));
  add_number(json, "generations_alive", load(header.generations_alive));
  add_number(json, "generations_ended", load(header.generations_ended));
  add_number(json, "reloads", load(header.reloads));
  add_number(json, "reloads_failed", load(header.reloads_failed));
  add_number(json, "worker_deaths", load(header.worker_deaths));
  const OriginCounts counts = count_origins(state);
  cJSON* origins = add_child(json, "origins", make_object());
  add_number(origins, "total", load(header.origins_used));
  add_number(origins, "up", counts.up);
  add_number(origins, "unresolved", counts.unresolved);
  add_number(origins, "ejected", counts.ejected);
  add_number(origins, "dead", counts.dead);
  add_number(origins, "draining", counts.draining);
  add_number(origins, "capacity", header.origin_capacity);
  add_number(origins, "refused", load(header.origins_refused));
  cJSON* streams = add_child(json, "streams", make_object());
  add_number(streams, "total", load(header.streams_used));
  add_number(streams, "capacity", header.stream_capacity);
  add_number(streams, "refused", load(header.streams_refused));
  add_number(streams, "learned", load(header.streams_learned));
  add_number(streams, "conflicts", load(header.conflicts_now));
  add_number(json, "sessions", load(header.sessions));
  cJSON* totals = add_child(json, "counters", make_object());
  for (std::size_t i = 0; i < ipc::kCounterCount; ++i) {
    const auto id = static_cast<ipc::Counter>(i);
    add_number(totals, std::string(counter_name(id)).c_str(), counters.total(state, id));
  }
  return answer;
}

}  // namespace weir::control
