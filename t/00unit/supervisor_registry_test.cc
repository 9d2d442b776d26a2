// Streams and sessions of the registry; origins: supervisor_registry_origins_test.cc.
#include "t/00unit/supervisor_registry_support.h"

namespace {

using weir::ipc::OriginRef;
using weir::ipc::OriginState;
using weir::ipc::Role;
using weir::ipc::RouteStatus;
using weir::test::Rig;

constexpr const char* kKey = "v/a/s";

}  // namespace

TEST_CASE("a stream goes to one origin, whoever asks, and a hit finds it") {
  Rig rig;
  rig.add("a", 1);
  rig.add("b", 2);
  const OriginRef first = rig.place(kKey, Role::kPublisher);
  for (int i = 0; i < 10; ++i) CHECK(rig.place(kKey, Role::kPlayer) == first);
  CHECK(rig.hit(kKey, Role::kPlayer) == first);
  CHECK(rig.origin(first).streams == 1);
}

TEST_CASE("least_streams shares streams evenly; weights and weight 0") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  const OriginRef b = rig.add("b", 2);
  const OriginRef c = rig.add("c", 3);
  for (int i = 0; i < 30; ++i) rig.place("v/a/" + std::to_string(i), Role::kPublisher);
  for (const OriginRef ref : {a, b, c}) CHECK(rig.origin(ref).streams == 10);
}

TEST_CASE("without an origin, or with none for the protocol, there is no route") {
  Rig rig;
  CHECK(rig.ask(kKey, Role::kPlayer).status == RouteStatus::kNoOrigin);
  rig.add("a", 1);
  weir::ipc::RouteRequest request;
  request.protocol = weir::ipc::EndpointKind::kSrt;
  request.key.assign(kKey);
  CHECK(rig.registry.route(request, rig.now).status == RouteStatus::kNoOrigin);
  request.protocol = static_cast<weir::ipc::EndpointKind>(77);
  CHECK(rig.registry.route(request, rig.now).status == RouteStatus::kNoOrigin);
  request.protocol = weir::ipc::EndpointKind::kRtmp;
  request.key.length = 0;
  CHECK(rig.registry.route(request, rig.now).status == RouteStatus::kNoOrigin);
  request.key.assign(std::string(512, 'x'));
  CHECK(rig.registry.route(request, rig.now).status == RouteStatus::kNoOrigin);
  request.key.assign(kKey);
  request.failed_count = 65535;
  CHECK(rig.registry.route(request, rig.now).status == RouteStatus::kOk);
}

TEST_CASE("a failed dial moves a stream only when nobody publishes it") {
  Rig rig;
  rig.add("a", 1);
  rig.add("b", 2);
  const OriginRef home = rig.place(kKey, Role::kPublisher);
  rig.open(1, kKey, Role::kPublisher, home);
  CHECK(rig.ask(kKey, Role::kPlayer, {home}).status == RouteStatus::kStreamElsewhere);
  CHECK(rig.hit(kKey, Role::kPlayer) == home);
  rig.close(1);
  const OriginRef other = rig.place(kKey, Role::kPlayer, {home});
  CHECK_FALSE(other == home);
  CHECK(rig.hit(kKey, Role::kPlayer) == other);
  CHECK(rig.origin(home).streams == 0);
  CHECK(rig.origin(other).streams == 1);
  // A second worker whose dial failed too gets the same answer.
  CHECK(rig.place(kKey, Role::kPlayer, {home}) == other);
  rig.open(2, kKey, Role::kPublisher, other);
  CHECK(rig.ask(kKey, Role::kPublisher, {other}).status == RouteStatus::kStreamElsewhere);
  rig.close(2);
  CHECK(rig.place(kKey, Role::kPublisher, {other}) == home);
  CHECK(rig.ask(kKey, Role::kPublisher, {home, other}).status == RouteStatus::kNoOrigin);
}

TEST_CASE("a draining origin takes no new stream and keeps those that live") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  const OriginRef b = rig.add("b", 2);
  std::string on_a;
  for (int i = 0; on_a.empty(); ++i) {
    const std::string key = "v/a/" + std::to_string(i);
    if (rig.place(key, Role::kPublisher) == a) on_a = key;
  }
  rig.open(1, on_a, Role::kPublisher, a);
  weir::ipc::OriginCommand command;
  command.origin = a;
  command.action = weir::ipc::OriginAction::kDrain;
  CHECK(rig.registry.origins().command(command).code == weir::ipc::ReplyCode::kOk);
  CHECK(rig.place(on_a, Role::kPlayer) == a);
  rig.open(2, on_a, Role::kPlayer, a);
  for (int i = 0; i < 5; ++i) CHECK(rig.place("v/b/" + std::to_string(i), Role::kPublisher) == b);
  rig.close(1);
  CHECK(rig.place(on_a, Role::kPlayer) == a);
  CHECK(rig.place(on_a, Role::kPublisher) == b);
}

TEST_CASE("sessions are counted at their origin and stream, once, and released with their worker") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  rig.place(kKey, Role::kPublisher);
  rig.open(1, kKey, Role::kPublisher, a);
  rig.open(1, kKey, Role::kPublisher, a);  // the same id again is ignored
  for (weir::SessionId id = 2; id < 7; ++id) rig.open(id, kKey, Role::kPlayer, a);
  CHECK(rig.stream(kKey).publishers == 1);
  CHECK(rig.stream(kKey).players == 5);
  CHECK(rig.origin(a).players == 5);
  CHECK(rig.writer.header().sessions.load() == 6);
  rig.registry.close_session(Rig::kWorker + 1, 2, rig.now);  // not its session
  rig.close(12345);
  CHECK(rig.registry.sessions() == 6);
  rig.close(2);
  rig.close(2);
  CHECK(rig.stream(kKey).players == 4);
  rig.registry.worker_gone(Rig::kWorker + 1, rig.now);
  CHECK(rig.registry.sessions() == 5);
  rig.registry.worker_gone(Rig::kWorker, rig.now);
  CHECK(rig.registry.sessions() == 0);
  CHECK(rig.stream(kKey).publishers == 0);
  CHECK(rig.stream(kKey).players == 0);
  CHECK(rig.origin(a).publishers == 0);
  CHECK(rig.writer.header().sessions.load() == 0);
}

TEST_CASE("a session at an origin that does not exist yet is never taken off one that comes") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  const OriginRef next{a.slot, a.generation + 1};
  rig.open(1, kKey, Role::kPublisher, next);
  rig.open(2, kKey, Role::kPlayer, OriginRef{4000000000U, 1});
  weir::ipc::OriginCommand command;
  command.origin = a;
  command.action = weir::ipc::OriginAction::kRemove;
  CHECK(rig.registry.origins().command(command).code == weir::ipc::ReplyCode::kOk);
  REQUIRE(rig.add("b", 2) == next);
  rig.close(1);
  rig.close(2);
  CHECK(rig.origin(next).publishers == 0);
  CHECK(rig.origin(next).players == 0);
}

TEST_CASE("a session of a stream that was forgotten in between brings it back") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  CHECK_FALSE(rig.known(kKey));
  rig.open(1, kKey, Role::kPublisher, a);
  CHECK(rig.hit(kKey, Role::kPlayer) == a);
  CHECK(rig.stream(kKey).publishers == 1);
}

TEST_CASE("where a publisher has arrived is stronger than a plan") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  const OriginRef b = rig.add("b", 2);
  const OriginRef planned = rig.place(kKey, Role::kPlayer);
  const OriginRef other = planned == a ? b : a;
  rig.open(1, kKey, Role::kPublisher, other);
  CHECK(rig.hit(kKey, Role::kPlayer) == other);
  rig.open(2, kKey, Role::kPublisher, planned);  // a second publisher elsewhere does not move it
  CHECK(rig.hit(kKey, Role::kPlayer) == other);
  rig.close(2);
  CHECK(rig.stream(kKey).publishers == 1);
}

TEST_CASE("an idle stream is forgotten, one with sessions never") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  rig.config.balance.origin_ttl = 1ULL << 40;
  rig.apply();
  const std::uint64_t idle = rig.config.stream_idle_timeout;
  rig.place("v/a/idle", Role::kPlayer);
  rig.place("v/a/live", Role::kPublisher);
  rig.open(1, "v/a/live", Role::kPublisher, a);
  rig.pass(idle - 1);
  CHECK(rig.known("v/a/idle"));
  rig.place("v/a/idle", Role::kPlayer);  // used again
  rig.pass(1);
  CHECK(rig.known("v/a/idle"));
  rig.pass(idle);
  CHECK_FALSE(rig.known("v/a/idle"));
  CHECK(rig.known("v/a/live"));
  rig.close(1);
  rig.pass(idle - 1);
  CHECK(rig.known("v/a/live"));
  rig.pass(1);
  CHECK_FALSE(rig.known("v/a/live"));
  CHECK(rig.origin(a).streams == 0);
  CHECK(rig.writer.header().streams_used.load() == 0);
}

TEST_CASE("a full table refuses that one stream and counts it") {
  Rig rig(4, 16);
  rig.add("a", 1);
  for (int i = 0; i < 16; ++i) rig.place("v/a/" + std::to_string(i), Role::kPlayer);
  CHECK(rig.ask("v/a/more", Role::kPlayer).status == RouteStatus::kTableFull);
  CHECK(rig.writer.header().streams_refused.load() == 1);
  CHECK(rig.ask("v/a/3", Role::kPlayer).status == RouteStatus::kOk);
  rig.pass(rig.config.stream_idle_timeout);
  CHECK(rig.ask("v/a/more", Role::kPlayer).status == RouteStatus::kOk);
}

TEST_CASE("limits per address and per stream") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  rig.config.rtmp.max_connections_per_address = 2;
  rig.config.rtmp.max_players_per_stream = 3;
  rig.apply();
  CHECK_FALSE(rig.open(1, kKey, Role::kPlayer, a, 1).has_value());
  CHECK_FALSE(rig.open(2, kKey, Role::kPlayer, a, 1).has_value());
  const auto address = rig.open(3, kKey, Role::kPlayer, a, 1);
  REQUIRE(address.has_value());
  CHECK(address->session == 3);
  CHECK(address->reason == weir::ipc::SessionEndReason::kAddressLimit);
  const auto players = rig.open(4, kKey, Role::kPlayer, a, 2);
  REQUIRE(players.has_value());
  CHECK(players->reason == weir::ipc::SessionEndReason::kStreamLimit);
  CHECK_FALSE(rig.open(5, kKey, Role::kPublisher, a, 2).has_value());
  for (weir::SessionId id = 1; id <= 5; ++id) rig.close(id);
  CHECK_FALSE(rig.open(6, kKey, Role::kPlayer, a, 1).has_value());
}

TEST_CASE("each protocol has limits of its own") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  rig.config.rtmp.max_connections_per_address = 1;
  rig.config.http.max_players_per_stream = 2;
  rig.apply();
  const auto http = weir::ipc::EndpointKind::kHttp;
  CHECK_FALSE(rig.open(1, kKey, Role::kPlayer, a, 1).has_value());
  for (weir::SessionId id = 2; id <= 3; ++id) {
    CHECK_FALSE(rig.open(id, kKey, Role::kPlayer, a, 1, http).has_value());
  }
  const auto players = rig.open(4, kKey, Role::kPlayer, a, 1, http);
  REQUIRE(players.has_value());
  CHECK(players->reason == weir::ipc::SessionEndReason::kStreamLimit);
  CHECK_FALSE(rig.open(5, kKey, Role::kPlayer, a, 2).has_value());
  CHECK(rig.open(6, kKey, Role::kPlayer, a, 1).has_value());
  for (weir::SessionId id = 1; id <= 6; ++id) rig.close(id);
  CHECK_FALSE(rig.open(7, kKey, Role::kPlayer, a, 1, http).has_value());
}

TEST_CASE("any order of what workers say keeps the counts right") {
  Rig rig(6, 32);
  std::vector<OriginRef> origins;
  for (std::uint16_t i = 0; i < 4; ++i) origins.push_back(rig.add("o" + std::to_string(i), i + 1));
  std::uint64_t random = 99;
  weir::SessionId next = 1;
  std::vector<weir::SessionId> live;
  for (int step = 0; step < 30000; ++step) {
    random = weir::route::mix(random);
    const std::string key = "v/a/" + std::to_string(random % 40);
    const Role role = (random >> 20) % 4 == 0 ? Role::kPublisher : Role::kPlayer;
    const OriginRef some = origins[(random >> 24) % origins.size()];
    switch ((random >> 40) % 8) {
      case 0:
      case 1:
      case 2: {
        const auto answer = rig.ask(
            key, role,
            (random >> 30) % 5 == 0 ? std::vector<OriginRef>{some} : std::vector<OriginRef>{});
        if (answer.status != RouteStatus::kOk) break;
        rig.open(next, key, role, answer.origin);
        live.push_back(next++);
        break;
      }
      case 3:
      case 4:
        if (live.empty()) break;
        std::swap(live[random % live.size()], live.back());
        rig.close(live.back());
        live.pop_back();
        break;
      case 5:
        rig.fail(some);
        break;
      case 6:
        rig.succeed(some);
        break;
      default:
        rig.pass(random % 3000);
        for (std::uint16_t i = 0; i < 4; ++i) {
          if ((random >> i) % 2 == 0)
            origins[i] = rig.say("o" + std::to_string(i), "1", i + 1).origin;
        }
        break;
    }
    CHECK(rig.registry.sessions() == live.size());
  }
  for (const weir::SessionId id : live) rig.close(id);
  rig.pass(10 * rig.config.stream_idle_timeout);
  rig.pass(10 * rig.config.stream_idle_timeout);
  CHECK(rig.registry.sessions() == 0);
  CHECK(rig.writer.header().streams_used.load() == 0);
  for (std::uint32_t slot = 0; slot < 6; ++slot) {
    weir::ipc::OriginRecord record;
    if (!rig.view.read_origin(slot, record)) continue;
    CHECK(record.streams == 0);
    CHECK(record.publishers == 0);
    CHECK(record.players == 0);
  }
}
