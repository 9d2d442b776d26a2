// A registry on real shared memory with short ways to say what workers would say.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "common/base/log.h"
#include "ipc/route_reader.h"
#include "supervisor/registry.h"

namespace weir::test {

struct Rig {
  static constexpr std::uint32_t kWorker = 3;

  explicit Rig(std::uint32_t max_origins = 16, std::uint32_t max_streams = 64)
      : writer(make(max_origins, max_streams)), view(map(writer)), registry(writer, 1) {
    LogSettings quiet;
    quiet.level = LogLevel::kOff;
    REQUIRE(log_open(quiet).has_value());
    registry.apply(config, now);
  }

  static ipc::StateWriter make(std::uint32_t origins, std::uint32_t streams) {
    auto made = ipc::StateWriter::make({origins, streams});
    REQUIRE(made.has_value());
    return std::move(*made);
  }
  static ipc::StateView map(const ipc::StateWriter& writer) {
    auto mapped = ipc::StateView::map(writer.state_fd());
    REQUIRE(mapped.has_value());
    return std::move(*mapped);
  }

  static Endpoint endpoint(std::uint16_t port, std::uint8_t last = 1) {
    Endpoint e;
    e.family = Family::kIpv4;
    e.ip[0] = 10;
    e.ip[3] = last;
    e.port = port;
    return e;
  }
  static ipc::OriginRegister registration(const std::string& server, const std::string& pid,
                                          std::uint16_t port) {
    ipc::OriginRegister m;
    server.copy(m.server, sizeof m.server - 1);
    std::string("svc").copy(m.service, sizeof m.service - 1);
    pid.copy(m.pid, sizeof m.pid - 1);
    m.ip = endpoint(0);
    m.endpoint_count[0] = 1;
    m.endpoints[0][0] = endpoint(port);
    return m;
  }
  ipc::Reply say(const std::string& server, const std::string& pid, std::uint16_t port) {
    return registry.origins().register_origin(registration(server, pid, port), now);
  }
  ipc::OriginRef add(const std::string& server, std::uint16_t port) {
    const ipc::Reply reply = say(server, "1", port);
    REQUIRE(reply.code == ipc::ReplyCode::kOk);
    return reply.origin;
  }
  ipc::RouteAnswer ask(const std::string& key, ipc::Role role,
                       const std::vector<ipc::OriginRef>& failed = {},
                       ipc::EndpointKind kind = ipc::EndpointKind::kRtmp) {
    ipc::RouteRequest request;
    request.protocol = kind;
    request.header.request = 5;
    request.role = role;
    request.key.assign(key);
    for (const ipc::OriginRef ref : failed) request.failed[request.failed_count++] = ref;
    ipc::RouteAnswer answer = registry.route(request, now);
    CHECK(answer.header.request == 5);
    return answer;
  }
  ipc::OriginRef place(const std::string& key, ipc::Role role,
                       const std::vector<ipc::OriginRef>& failed = {},
                       ipc::EndpointKind kind = ipc::EndpointKind::kRtmp) {
    const ipc::RouteAnswer answer = ask(key, role, failed, kind);
    CHECK(answer.status == ipc::RouteStatus::kOk);
    return answer.origin;
  }
  std::optional<ipc::SessionEnd> open(SessionId id, const std::string& key, ipc::Role role,
                                      ipc::OriginRef origin, std::uint8_t client = 9,
                                      ipc::EndpointKind protocol = ipc::EndpointKind::kRtmp) {
    ipc::SessionOpen message;
    message.protocol = protocol;
    message.session = id;
    message.origin = origin;
    message.role = role;
    message.client = endpoint(static_cast<std::uint16_t>(1000 + id % 60000), client);
    message.key.assign(key);
    return registry.open_session(kWorker, message, now);
  }
  void close(SessionId id) { registry.close_session(kWorker, id, now); }
  // Probes that fail.
  void fail(ipc::OriginRef origin, int times = 1,
            ipc::EndpointKind kind = ipc::EndpointKind::kRtmp) {
    for (int i = 0; i < times; ++i) registry.origins().report_probe(origin, kind, false, now);
  }
  void succeed(ipc::OriginRef origin, ipc::EndpointKind kind = ipc::EndpointKind::kRtmp) {
    registry.origins().report_probe(origin, kind, true, now);
  }
  void pass(std::uint64_t ms) {
    now += ms;
    registry.tick(now);
  }
  ipc::OriginRecord origin(ipc::OriginRef ref) const {
    ipc::OriginRecord record;
    CHECK(view.read_origin(ref, record));
    return record;
  }
  bool exists(ipc::OriginRef ref) const {
    ipc::OriginRecord record;
    return view.read_origin(ref, record);
  }
  ipc::StreamRecord stream(const std::string& key) const {
    ipc::StreamRecord record;
    CHECK(view.find_stream(key, record));
    return record;
  }
  bool known(const std::string& key) const {
    ipc::StreamRecord record;
    return view.find_stream(key, record);
  }
  std::optional<ipc::OriginRef> hit(const std::string& key, ipc::Role role,
                                    ipc::EndpointKind kind = ipc::EndpointKind::kRtmp) const {
    return view.find_route(key, role, kind);
  }
  void apply() { registry.apply(config, now); }

  Config config;
  std::uint64_t now = 1000000;
  ipc::StateWriter writer;
  ipc::StateView view;
  Registry registry;
};

}  // namespace weir::test
