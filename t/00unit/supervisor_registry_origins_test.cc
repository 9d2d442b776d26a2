// Origins of the registry: identity, TTL, configuration.
#include "t/00unit/supervisor_registry_support.h"

namespace {

using weir::ipc::OriginRef;
using weir::ipc::OriginState;
using weir::ipc::ReplyCode;
using weir::ipc::Role;
using weir::ipc::RouteStatus;
using weir::test::Rig;

constexpr const char* kKey = "v/a/s";

weir::OriginConfig configured(const std::string& name, std::uint16_t port) {
  weir::OriginConfig origin;
  origin.name = name;
  origin.ip = Rig::endpoint(0, 2);
  origin.rtmp = {Rig::endpoint(port, 2)};
  return origin;
}

}  // namespace

TEST_CASE("a heartbeat finds its origin again and may change its endpoints") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  rig.now += 5000;
  CHECK(rig.say("a", "1", 7).origin == a);
  CHECK(rig.origin(a).endpoints[0][0].port == 7);
  CHECK(rig.origin(a).heartbeat_ms == rig.now);
  CHECK(rig.writer.header().origins_used.load() == 1);
  CHECK(rig.add("b", 1).slot != a.slot);  // port 1 is free again
  CHECK(rig.exists(a));
}

TEST_CASE("a restarted origin replaces its old self at once") {
  Rig rig;
  const OriginRef old = rig.add("a", 1);
  rig.place(kKey, Role::kPublisher);
  rig.open(1, kKey, Role::kPublisher, old);
  const OriginRef young = rig.say("a", "2", 1).origin;
  CHECK_FALSE(young == old);
  CHECK_FALSE(rig.exists(old));
  CHECK_FALSE(rig.known(kKey));
  CHECK(rig.registry.sessions() == 1);
  CHECK(rig.place(kKey, Role::kPlayer) == young);
  rig.close(1);
  CHECK(rig.origin(young).publishers == 0);
  CHECK(rig.writer.header().origins_used.load() == 1);
}

TEST_CASE("another server at the same endpoint replaces too") {
  Rig rig;
  const OriginRef old = rig.add("a", 1);
  rig.add("b", 1);
  CHECK_FALSE(rig.exists(old));
  CHECK(rig.writer.header().origins_used.load() == 1);
}

TEST_CASE("two live processes with one server id are both kept once that is evident") {
  Rig rig;
  rig.say("a", "1", 1);
  rig.say("a", "2", 2);
  CHECK(rig.writer.header().origins_used.load() == 1);
  const OriginRef first = rig.say("a", "1", 1).origin;  // it lives, so it was no old self
  CHECK(rig.writer.header().origins_used.load() == 2);
  for (int i = 0; i < 5; ++i) {
    CHECK(rig.say("a", "1", 1).origin == first);
    rig.say("a", "2", 2);
    CHECK(rig.writer.header().origins_used.load() == 2);
  }
  rig.say("a", "3", 3);  // a third one with that id is kept as well
  CHECK(rig.writer.header().origins_used.load() == 3);
}

TEST_CASE("bad registrations change nothing") {
  Rig rig;
  const auto refused = [&](auto change) {
    weir::ipc::OriginRegister m = Rig::registration("a", "1", 1);
    change(m);
    const auto reply = rig.registry.origins().register_origin(m, rig.now);
    return reply.code == ReplyCode::kInvalid && !reply.text.view().empty();
  };
  CHECK(refused([](auto& m) { m.server[0] = '\0'; }));
  CHECK(refused([](auto& m) { m.service[0] = '\0'; }));
  CHECK(refused([](auto& m) { m.pid[0] = '\0'; }));
  CHECK(refused([](auto& m) { m.endpoint_count[0] = 0; }));
  CHECK(refused([](auto& m) { m.endpoint_count[0] = 5; }));
  CHECK(refused([](auto& m) { m.endpoint_count[3] = 255; }));
  CHECK(refused([](auto& m) { m.endpoints[0][0].port = 0; }));
  CHECK(refused([](auto& m) { m.endpoints[0][0].family = static_cast<weir::Family>(9); }));
  CHECK(rig.writer.header().origins_used.load() == 0);
  weir::ipc::OriginRegister endless = Rig::registration("a", "1", 1);
  std::fill(std::begin(endless.server), std::end(endless.server), 'x');
  CHECK(rig.registry.origins().register_origin(endless, rig.now).code == ReplyCode::kOk);
}

TEST_CASE("TTL, revival and forgetting") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  rig.place(kKey, Role::kPlayer);
  rig.pass(rig.config.balance.origin_ttl);
  CHECK(rig.origin(a).state == OriginState::kDead);
  CHECK(rig.ask(kKey, Role::kPlayer).status == RouteStatus::kNoOrigin);
  rig.say("a", "1", 1);
  CHECK(rig.origin(a).state == OriginState::kUp);
  CHECK(rig.place(kKey, Role::kPlayer) == a);
  rig.pass(rig.config.balance.origin_ttl + rig.config.balance.origin_forget - 1);
  CHECK(rig.exists(a));
  rig.pass(1);
  CHECK_FALSE(rig.exists(a));
  CHECK(rig.writer.header().origins_used.load() == 0);
}

TEST_CASE("a full table refuses, unless somebody in it is dead") {
  Rig rig(3, 16);
  const OriginRef a = rig.add("a", 1);
  rig.pass(1000);
  rig.add("b", 2);
  rig.add("c", 3);
  CHECK(rig.say("d", "1", 4).code == ReplyCode::kTableFull);
  CHECK(rig.writer.header().origins_refused.load() == 1);
  CHECK(rig.say("b", "1", 2).code == ReplyCode::kOk);
  rig.pass(rig.config.balance.origin_ttl);
  CHECK(rig.say("d", "1", 4).code == ReplyCode::kOk);
  CHECK_FALSE(rig.exists(a));
}

TEST_CASE("a flood of registrations stays within the table") {
  Rig rig(32, 64);
  for (int i = 0; i < 100000; ++i) {
    rig.say("s" + std::to_string(i), "1", static_cast<std::uint16_t>(1 + i % 65535));
    rig.say("one", std::to_string(i), 65535);
  }
  CHECK(rig.writer.header().origins_used.load() <= 32);
}

TEST_CASE("origins of the configuration: added, changed in place, moved, removed") {
  Rig rig;
  rig.config.origins = {configured("x", 1), configured("y", 2)};
  rig.apply();
  CHECK(rig.writer.header().origins_used.load() == 2);
  const OriginRef first = rig.place(kKey, Role::kPublisher);
  rig.open(1, kKey, Role::kPublisher, first);
  const bool on_x = std::string(rig.origin(first).name) == "x";
  weir::OriginConfig& mine = rig.config.origins[on_x ? 0 : 1];
  mine.weight = 9;
  mine.drain = true;
  rig.apply();
  CHECK(rig.origin(first).weight == 9);
  CHECK(rig.origin(first).draining);
  CHECK(rig.hit(kKey, Role::kPlayer) == first);
  rig.pass(1ULL << 40);
  CHECK(rig.origin(first).state == OriginState::kUp);  // no TTL
  mine.rtmp = {Rig::endpoint(77, 2)};
  rig.apply();
  CHECK_FALSE(rig.exists(first));
  CHECK(rig.writer.header().origins_used.load() == 2);
  rig.config.origins.clear();
  rig.apply();
  CHECK(rig.writer.header().origins_used.load() == 0);
  CHECK(rig.registry.sessions() == 1);
  rig.close(1);
  CHECK(rig.registry.sessions() == 0);
}

TEST_CASE(
    "a block that is given to, changed or renamed for a server keeps its streams and sessions") {
  Rig rig;
  weir::ipc::OriginRegister m = Rig::registration("srs", "1", 1);
  m.endpoints[0][0] = Rig::endpoint(1, 2);
  const OriginRef self = rig.registry.origins().register_origin(m, rig.now).origin;
  rig.open(1, kKey, Role::kPublisher, self);
  const auto here = [&](const char* name) {
    rig.apply();
    CHECK(rig.writer.header().origins_used.load() == 1);
    REQUIRE(rig.exists(self));
    CHECK(std::string(rig.origin(self).name) == name);
    CHECK(rig.stream(kKey).publishers == 1);
    CHECK(rig.place(kKey, Role::kPlayer) == self);
  };
  rig.config.origins = {configured("x", 1)};
  here("x");
  CHECK(rig.origin(self).is_static);
  rig.config.origins.front().http = {Rig::endpoint(8080, 2)};
  here("x");
  CHECK(rig.origin(self).has(weir::ipc::EndpointKind::kHttp));
  weir::ipc::OriginCommand command;
  command.origin = self;
  command.action = weir::ipc::OriginAction::kDrain;
  CHECK(rig.registry.origins().command(command).code == ReplyCode::kOk);
  rig.config.origins = {configured("y", 1)};
  here("y");
  CHECK(rig.origin(self).draining);
  // Two change places: each is the server that its endpoint says.
  rig.config.origins = {configured("y", 3), configured("z", 1)};
  rig.apply();
  CHECK(rig.writer.header().origins_used.load() == 2);
  rig.config.origins.clear();
  rig.apply();
  CHECK(rig.writer.header().origins_used.load() == 0);
}

TEST_CASE("a registration of an origin of the configuration gives it an identity, no second slot") {
  Rig rig;
  rig.config.origins = {configured("x", 1)};
  rig.apply();
  weir::ipc::OriginRegister m = Rig::registration("srs", "1", 1);
  m.endpoints[0][0] = Rig::endpoint(1, 2);
  const OriginRef ref = rig.registry.origins().register_origin(m, rig.now).origin;
  CHECK(rig.writer.header().origins_used.load() == 1);
  CHECK(std::string(rig.origin(ref).name) == "x");
  CHECK(std::string(rig.origin(ref).server) == "srs");
  weir::ipc::OriginCommand command;
  command.origin = ref;
  command.action = weir::ipc::OriginAction::kRemove;
  CHECK(rig.registry.origins().command(command).code == ReplyCode::kStatic);
  command.origin.generation += 1;
  CHECK(rig.registry.origins().command(command).code == ReplyCode::kNotFound);
}

TEST_CASE("a registered origin can be removed and comes back with its next heartbeat") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  weir::ipc::OriginCommand command;
  command.origin = a;
  command.action = weir::ipc::OriginAction::kRemove;
  CHECK(rig.registry.origins().command(command).code == ReplyCode::kOk);
  CHECK_FALSE(rig.exists(a));
  command.action = static_cast<weir::ipc::OriginAction>(50);
  command.origin = rig.add("a", 1);
  CHECK(rig.registry.origins().command(command).code == ReplyCode::kInvalid);
}

TEST_CASE("the default backend serves only when no other origin can") {
  Rig rig;
  rig.config.default_backend.enabled = true;
  rig.apply();
  const OriginRef backend = rig.place("v/a/1", Role::kPublisher);
  const OriginRef a = rig.add("a", 1);
  for (int i = 2; i < 8; ++i) CHECK(rig.place("v/a/" + std::to_string(i), Role::kPublisher) == a);
  CHECK(rig.place("v/a/1", Role::kPlayer) == backend);
  rig.fail(a, 3);
  CHECK(rig.place("v/a/9", Role::kPublisher) == backend);
}

TEST_CASE("failed probes are counted, and every policy works through the registry") {
  for (const char* policy : {"least_streams", "round_robin", "random", "hash"}) {
    Rig rig(8, 1024);
    rig.config.balance.policy = policy;
    rig.apply();
    const OriginRef refs[] = {rig.add("a", 1), rig.add("b", 2), rig.add("c", 3)};
    for (int i = 0; i < 300; ++i) rig.place("v/a/" + std::to_string(i), Role::kPublisher);
    for (const OriginRef ref : refs) {
      CHECK(rig.origin(ref).streams > 60);
      CHECK(rig.origin(ref).streams < 140);
    }
    rig.fail(refs[0]);
    CHECK(rig.origin(refs[0]).endpoint[0].probes_failed == 1);
    CHECK(rig.origin(refs[0]).endpoint[0].health.failures_in_row == 1);
  }
}

TEST_CASE("an upgraded master knows the origins and the streams of the one before it") {
  Rig old;
  const OriginRef a = old.add("a", 1);
  old.add("b", 2);
  old.open(1, "v/a/1", Role::kPublisher, a);
  Rig rig;
  rig.now = old.now;
  old.writer.header().heartbeat_ms.store(old.now);
  rig.registry.adopt(Rig::map(old.writer));
  const auto at_a = [&](OriginRef ref) { return rig.origin(ref).endpoints[0][0].port == 1; };
  for (int i = 2; i < 8; ++i) rig.place("v/x/" + std::to_string(i), Role::kPublisher);
  CHECK(at_a(rig.place("v/a/1", Role::kPlayer)));
  // What the old one learns while it still runs is seen, too.
  old.open(2, "v/a/2", Role::kPublisher, a);
  for (int i = 10; i < 15; ++i) CHECK(at_a(rig.place("v/a/2", Role::kPlayer)));
  // The origin's next heartbeat finds itself.
  CHECK(rig.add("a", 1).slot == rig.place("v/a/1", Role::kPlayer).slot);
  CHECK(rig.writer.header().origins_used.load() == 2);
  // Its streams have rows here, too, while it runs.
  old.open(4, "v/a/4", Role::kPublisher, a);
  rig.pass(1000);
  weir::ipc::StreamHead row;
  REQUIRE(Rig::map(rig.writer).find_stream("v/a/4", row));
  CHECK(at_a(weir::ipc::origin_of(row)));
  // The old one has gone: its table counts no more.
  for (int i = 20; i < 29; ++i) rig.pass(2000);
  old.open(3, "v/a/3", Role::kPublisher, a);
  rig.pass(1000);
  const OriginRef idle = rig.add("c", 3);
  CHECK(rig.place("v/a/3", Role::kPlayer) == idle);
}

TEST_CASE("an upgraded master knows every origin whose server id two processes share") {
  Rig old;
  old.say("a", "1", 1);
  old.say("a", "2", 2);
  old.say("a", "1", 1);  // still alive: they share the id from now on
  old.say("a", "2", 2);
  REQUIRE(old.writer.header().origins_used.load() == 2);
  Rig rig;
  rig.registry.adopt(Rig::map(old.writer));
  CHECK(rig.writer.header().origins_used.load() == 2);
}

TEST_CASE("an upgraded master knows origins without RTMP by their names in the configuration") {
  Rig old;
  Rig rig;
  for (Rig* each : {&old, &rig}) {
    for (const char* name : {"east", "west"}) {
      weir::OriginConfig web;
      web.name = name;
      web.http = {Rig::endpoint(80, name[0] == 'e' ? 1 : 2)};
      each->config.origins.push_back(web);
    }
    each->apply();
  }
  const auto place = [](Rig& at, const std::string& key) {
    weir::ipc::RouteRequest request;
    request.protocol = weir::ipc::EndpointKind::kHttp;
    request.key.assign(key);
    const weir::ipc::RouteAnswer answer = at.registry.route(request, at.now);
    REQUIRE(answer.status == weir::ipc::RouteStatus::kOk);
    return std::string(at.origin(answer.origin).name);
  };
  const std::string first = place(old, "v/a/1");
  const std::string second = place(old, "v/a/2");
  CHECK(first != second);
  old.writer.header().heartbeat_ms.store(old.now);
  rig.registry.adopt(Rig::map(old.writer));
  CHECK(place(rig, "v/a/2") == second);  // alone it would give the first stream the first origin
  CHECK(place(rig, "v/a/1") == first);
}

TEST_CASE("drained and vanished origins of the old master") {
  Rig old;
  old.add("a", 1);
  const OriginRef drained = old.add("b", 2);
  weir::ipc::OriginCommand command;
  command.origin = drained;
  command.action = weir::ipc::OriginAction::kDrain;
  old.registry.origins().command(command);
  weir::OriginConfig gone;
  gone.name = "gone";
  gone.rtmp = {Rig::endpoint(9)};
  old.config.origins.push_back(gone);
  old.apply();
  Rig rig;
  rig.registry.adopt(Rig::map(old.writer));
  CHECK(rig.writer.header().origins_used.load() == 2);
  for (int i = 0; i < 6; ++i) {
    const OriginRef at = rig.place("v/a/" + std::to_string(i), Role::kPublisher);
    CHECK(rig.origin(at).endpoints[0][0].port == 1);
  }
}
