// JSON and Prometheus views of a shared state that a StateWriter fills.
#include <doctest/doctest.h>

#include <cstring>
#include <set>
#include <string>

#include "ipc/counters.h"
#include "ipc/flow_writer.h"
#include "ipc/state_writer.h"
#include "workers/control/session_views.h"
#include "workers/control/views.h"

using namespace weir;
using namespace weir::control;

namespace {

struct Segments {
  ipc::StateWriter writer;
  ipc::StateView state;
  ipc::CountersView counters;
};

Segments make_segments() {
  auto writer = ipc::StateWriter::make({16, 64});
  REQUIRE(writer.has_value());
  auto state = ipc::StateView::map(writer->state_fd());
  REQUIRE(state.has_value());
  ipc::CountersView counters(writer->counters().all());
  return {std::move(*writer), std::move(*state), std::move(counters)};
}

ipc::OriginRef add_origin(ipc::StateWriter& writer, const char* name, bool ejected = false) {
  std::uint32_t generation = 0;
  const std::uint32_t slot = writer.take_origin(generation);
  ipc::OriginRecord origin;
  origin.generation = generation;
  origin.state = ipc::OriginState::kUp;
  origin.endpoint[0].health.ejected = ejected;
  origin.ejected_kinds = ejected ? 1 : 0;
  std::strncpy(origin.name, name, sizeof origin.name - 1);
  origin.ip = *parse_ip("10.0.0.9");
  origin.endpoint_count[0] = 1;
  origin.endpoints[0][0] = *parse_origin_endpoint("rtmp://:1935", origin.ip);
  writer.put_origin(slot, origin);
  return {slot, generation};
}

int size_of(const JsonPtr& json, const char* list) {
  return cJSON_GetArraySize(cJSON_GetObjectItem(json.get(), list));
}
std::string text_of(const cJSON* json, const char* name) {
  return cJSON_GetStringValue(cJSON_GetObjectItem(json, name));
}

}  // namespace

TEST_CASE("views: origins, pages and states") {
  Segments shared = make_segments();
  for (int i = 0; i < 10; ++i) add_origin(shared.writer, "up");
  const auto last = add_origin(shared.writer, "q\"uo\\te", true);
  std::set<std::string> ids;
  for (const std::uint64_t start : {0U, 4U, 8U}) {
    const JsonPtr page = origins_page(shared.state, {start, 4}, 1000);
    CHECK(size_of(page, "origins") == (start == 8 ? 3 : 4));
    CHECK(cJSON_GetObjectItem(page.get(), "total")->valueint == 11);
    const cJSON* row = nullptr;
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(page.get(), "origins")) {
      ids.insert(text_of(row, "id"));
    }
  }
  CHECK(ids.size() == 11);
  CHECK(size_of(origins_page(shared.state, {11, 4}, 1000), "origins") == 0);
  const OriginCounts counts = count_origins(shared.state);
  CHECK(counts.up == 10);
  CHECK(counts.ejected == 1);
  ipc::OriginRecord record;
  REQUIRE(shared.state.read_origin(last, record));
  record.endpoint[0].health.ejected_until_ms = 1500;
  record.endpoint[0].health.failures_in_row = 4;
  record.endpoint[0].dials_failed = 2;
  record.endpoint_count[1] = record.endpoint_count[4] = 1;
  record.endpoint[1].dials_failed = 3;
  const JsonPtr row = origin_row(record, last.slot, 1000);
  CHECK(text_of(row.get(), "state") == "ejected");
  CHECK(cJSON_GetObjectItem(row.get(), "failures_in_row")->valueint == 4);
  CHECK(cJSON_GetObjectItem(row.get(), "dials_failed")->valueint == 5);
  REQUIRE(size_of(row, "endpoints") == 3);
  const cJSON* endpoint = cJSON_GetObjectItem(row.get(), "endpoints")->child;
  CHECK(text_of(endpoint, "endpoint") == "rtmp");
  CHECK(text_of(endpoint, "state") == "ejected");
  CHECK(cJSON_GetObjectItem(endpoint, "ejected_for_ms")->valueint == 500);
  CHECK(text_of(endpoint->next, "endpoint") == "http");
  CHECK(text_of(endpoint->next, "state") == "up");
  CHECK(cJSON_IsFalse(cJSON_GetObjectItem(endpoint->next->next, "probed")));
  CHECK(cJSON_GetObjectItem(row.get(), "ejected_for_ms")->valueint == 500);
  CHECK(std::string(cJSON_GetObjectItem(row.get(), "rtmp")->child->valuestring) ==
        "rtmp://10.0.0.9:1935");
}

TEST_CASE("views: streams") {
  Segments shared = make_segments();
  const auto origin = add_origin(shared.writer, "one");
  ipc::StreamRecord stream;
  stream.origin_slot = origin.slot;
  stream.origin_generation = origin.generation;
  stream.last_use_ms = 400;
  REQUIRE(shared.writer.add_stream("v.example/app/deep/er/\xFFname", stream) != ipc::kNoSlot);
  const JsonPtr page = streams_page(shared.state, {0, 10}, 1000);
  REQUIRE(size_of(page, "streams") == 1);
  const cJSON* row = cJSON_GetObjectItem(page.get(), "streams")->child;
  CHECK(text_of(row, "vhost") == "v.example");
  CHECK(text_of(row, "app") == "app/deep/er");
  CHECK(text_of(row, "stream") == "\xEF\xBF\xBDname");
  CHECK(text_of(row, "origin") == origin_id(origin));
  CHECK(text_of(row, "origin_name") == "one");
  CHECK(cJSON_GetObjectItem(row, "idle_ms")->valueint == 600);
}

TEST_CASE("views: metrics name each family once and escape labels") {
  Segments shared = make_segments();
  add_origin(shared.writer, "q\"uo\\te\n");
  const std::string text = metrics_text(shared.state, shared.counters);
  std::set<std::string> families;
  std::string current;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = text.find('\n', at);
    REQUIRE(end != std::string::npos);
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.rfind("# HELP ", 0) == 0) {
      current = line.substr(7, line.find(' ', 7) - 7);
      CHECK(families.insert(current).second);
    } else if (line.rfind("# TYPE ", 0) == 0) {
      CHECK(line.substr(7, current.size()) == current);
    } else {
      CHECK(line.substr(0, line.find_first_of("{ ")) == current);
    }
  }
  for (const auto& metric : ipc::metric_table()) CHECK(families.count(std::string(metric.name)));
  CHECK(text.find(R"(weir_origin_up{origin="q\"uo\\te\n",id="0-1"} 1)") != std::string::npos);
}

TEST_CASE("views: sessions, without their secrets") {
  Segments shared = make_segments();
  auto table = ipc::FlowWriter::make(16);
  REQUIRE(table.has_value());
  const auto flows = ipc::FlowView::map(table->reader_fd());
  REQUIRE(flows.has_value());
  ipc::FlowRecord flow;
  flow.session = 0xAB;
  flow.state = ipc::FlowState::kConnected;
  flow.origin = add_origin(shared.writer, "o1");
  flow.client = flow.origin_endpoint = *parse_listen("10.0.0.7:4000");
  flow.created_ms = 1000;
  flow.counters.drops = 5;
  flow.text.set(ipc::FlowField::kUsername, "secret:offer");
  flow.text.set(ipc::FlowField::kPassword, "the-password-of-the-answer");
  flow.text.set(ipc::FlowField::kKey, "v/a/s");
  for (int i = 0; i < 5; ++i) table->add(flow);
  table->erase(2);
  const JsonPtr page = sessions_page(shared.state, *flows, {1, 2}, 3000);
  CHECK(cJSON_GetObjectItem(page.get(), "total")->valueint == 4);
  REQUIRE(size_of(page, "sessions") == 2);
  const cJSON* row = cJSON_GetArrayItem(cJSON_GetObjectItem(page.get(), "sessions"), 1);
  CHECK(text_of(row, "id") == "3-1");
  CHECK(text_of(row, "ufrag") == "secr");
  CHECK(text_of(row, "origin_name") == "o1");
  CHECK(text_of(row, "client") == "10.0.0.7:4000");
  CHECK(cJSON_GetObjectItem(row, "age_ms")->valueint == 2000);
  CHECK(cJSON_GetObjectItem(row, "drops")->valueint == 5);
  const std::string text = print(page.get());
  CHECK(text.find("secret") == std::string::npos);
  CHECK(text.find("password") == std::string::npos);
  CHECK(parse_flow_id("3-1") == ipc::FlowRef{3, 1});
  const std::string metrics = session_metrics(*flows);
  CHECK(metrics.find("weir_udp_sessions{protocol=\"rtc\",state=\"connected\"} 4\n") !=
        std::string::npos);
}
