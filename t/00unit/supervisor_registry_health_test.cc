// Health as the registry uses it: each endpoint for itself, by probes alone, and never against a
// stream that is published.
#include "t/00unit/supervisor_registry_support.h"

namespace {

using weir::ipc::EndpointKind;
using weir::ipc::OriginRef;
using weir::ipc::OriginState;
using weir::ipc::Role;
using weir::ipc::RouteStatus;
using weir::test::Rig;

constexpr const char* kKey = "v/a/s";

// With an endpoint of each kind.
OriginRef add_whole(Rig& rig, const std::string& server, std::uint8_t last) {
  weir::ipc::OriginRegister m = Rig::registration(server, "1", 1935);
  for (std::size_t kind = 0; kind < weir::ipc::kEndpointKinds; ++kind) {
    m.endpoint_count[kind] = 1;
    m.endpoints[kind][0] = Rig::endpoint(static_cast<std::uint16_t>(1935 + kind), last);
  }
  return rig.registry.origins().register_origin(m, rig.now).origin;
}

std::string shown(Rig& rig, OriginRef ref) {
  return std::string(state_text(rig.origin(ref)));
}

std::vector<weir::ipc::ProbeNow> probes(Rig& rig) {
  return rig.registry.origins().take_probes();
}

}  // namespace

TEST_CASE("failed probes of one endpoint say nothing about the others") {
  Rig rig;
  const OriginRef a = add_whole(rig, "a", 1);
  const OriginRef b = add_whole(rig, "b", 2);
  rig.fail(a, 3, EndpointKind::kHttp);
  CHECK(shown(rig, a) == "up");
  CHECK(rig.origin(a).is_ejected(EndpointKind::kHttp));
  CHECK_FALSE(rig.origin(a).is_ejected(EndpointKind::kRtmp));
  for (int i = 0; i < 8; ++i) {
    const std::string key = "v/h/" + std::to_string(i);
    CHECK(rig.place(key, Role::kPlayer, {}, EndpointKind::kHttp) == b);
  }
  int at_a = 0;
  for (int i = 0; i < 8; ++i) {
    if (rig.place("v/r/" + std::to_string(i), Role::kPublisher) == a) ++at_a;
  }
  CHECK(at_a >= 4);
  rig.succeed(a, EndpointKind::kHttp);
  CHECK_FALSE(rig.origin(a).is_ejected(EndpointKind::kHttp));
  rig.fail(a, 3);
  CHECK(shown(rig, a) == "ejected");
}

TEST_CASE("the state in a word of an origin without RTMP") {
  Rig rig;
  weir::OriginConfig web;
  web.name = "web";
  web.http = {Rig::endpoint(80)};
  web.srt = {Rig::endpoint(81)};
  web.rtc = {Rig::endpoint(82)};
  rig.config.origins = {web};
  rig.apply();
  const OriginRef ref = rig.place(kKey, Role::kPlayer, {}, EndpointKind::kHttp);
  rig.fail(ref, 3, EndpointKind::kHttp);
  CHECK(shown(rig, ref) == "up");
  rig.fail(ref, 3, EndpointKind::kSrt);
  CHECK(shown(rig, ref) == "ejected");
}

TEST_CASE("clients' failed dials eject nobody; they ask for a probe, one a second") {
  Rig rig;
  const OriginRef a = add_whole(rig, "a", 1);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    rig.registry.origins().report_dial(a, EndpointKind::kHttp, rig.now + i);
  }
  CHECK(shown(rig, a) == "up");
  CHECK_FALSE(rig.origin(a).is_ejected(EndpointKind::kHttp));
  CHECK(rig.origin(a).endpoint[1].dials_failed == 1000);
  auto asked = probes(rig);
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].origin == a);
  CHECK(asked[0].endpoint == EndpointKind::kHttp);
  rig.now += 1000;
  rig.registry.origins().report_dial(a, EndpointKind::kHttp, rig.now);
  rig.registry.origins().report_dial(a, EndpointKind::kRtmp, rig.now);
  CHECK(probes(rig).size() == 2);
  // What cannot be asked is not, nor what does not exist.
  rig.registry.origins().report_dial(a, EndpointKind::kRtc, rig.now);
  rig.registry.origins().report_dial(a, static_cast<EndpointKind>(9), rig.now);
  rig.registry.origins().report_dial({7, 7}, EndpointKind::kRtmp, rig.now);
  rig.registry.origins().report_probe(a, EndpointKind::kRtc, false, rig.now);
  rig.registry.origins().report_probe(a, static_cast<EndpointKind>(200), false, rig.now);
  CHECK(probes(rig).empty());
}

TEST_CASE("a published stream stays where it is, whatever probes and heartbeats say") {
  Rig rig;
  add_whole(rig, "a", 1);
  add_whole(rig, "b", 2);
  const OriginRef home = rig.place(kKey, Role::kPublisher);
  rig.open(1, kKey, Role::kPublisher, home);
  rig.fail(home, 3, EndpointKind::kHttp);
  CHECK(rig.hit(kKey, Role::kPlayer, EndpointKind::kHttp) == home);
  CHECK(rig.place(kKey, Role::kPlayer, {}, EndpointKind::kHttp) == home);
  rig.fail(home, 3, EndpointKind::kRtmp);
  CHECK(rig.hit(kKey, Role::kPlayer) == home);
  CHECK(rig.place(kKey, Role::kPlayer) == home);
  CHECK(rig.ask(kKey, Role::kPlayer, {home}).status == RouteStatus::kStreamElsewhere);
  CHECK(rig.ask(kKey, Role::kPublisher, {home}).status == RouteStatus::kStreamElsewhere);
  rig.pass(rig.config.balance.origin_ttl);
  CHECK(rig.origin(home).state == OriginState::kDead);
  CHECK(rig.hit(kKey, Role::kPlayer) == home);
  CHECK(rig.place(kKey, Role::kPlayer) == home);
  add_whole(rig, home.slot == 0 ? "b" : "a", home.slot == 0 ? 2 : 1);
  rig.pass(rig.config.balance.origin_forget + 1);
  CHECK(rig.exists(home));
  CHECK(rig.stream(kKey).publishers == 1);
  SUBCASE("until its publisher has left") {
    rig.close(1);
    add_whole(rig, home.slot == 0 ? "b" : "a", home.slot == 0 ? 2 : 1);
    const OriginRef other = rig.place(kKey, Role::kPlayer);
    CHECK_FALSE(other == home);
    rig.pass(1);
    CHECK_FALSE(rig.exists(home));
  }
  SUBCASE("or the origin is removed") {
    weir::ipc::OriginCommand command;
    command.origin = home;
    command.action = weir::ipc::OriginAction::kRemove;
    CHECK(rig.registry.origins().command(command).code == weir::ipc::ReplyCode::kOk);
    CHECK_FALSE(rig.known(kKey));
  }
}

TEST_CASE("who cannot be served where a stream is published moves it for nobody") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);  // RTMP only
  rig.open(1, kKey, Role::kPublisher, a);
  add_whole(rig, "b", 2);
  for (const EndpointKind kind : {EndpointKind::kHttp, EndpointKind::kApi, EndpointKind::kSrt}) {
    CHECK_FALSE(rig.hit(kKey, Role::kPlayer, kind).has_value());
    CHECK(rig.ask(kKey, Role::kPlayer, {}, kind).status == RouteStatus::kStreamElsewhere);
    CHECK(rig.ask(kKey, Role::kPublisher, {}, kind).status == RouteStatus::kStreamElsewhere);
  }
  CHECK(rig.hit(kKey, Role::kPlayer) == a);
}

TEST_CASE("a stream that is watched stays for its viewers; others take a detour") {
  Rig rig;
  add_whole(rig, "a", 1);
  add_whole(rig, "b", 2);
  add_whole(rig, "c", 3);
  const OriginRef home = rig.place(kKey, Role::kPlayer);
  rig.open(1, kKey, Role::kPlayer, home);
  SUBCASE("one whose own dial failed") {
    const OriginRef other = rig.place(kKey, Role::kPlayer, {home});
    CHECK_FALSE(other == home);
    CHECK(rig.place(kKey, Role::kPlayer, {home}) == other);  // all to the same
    CHECK(rig.hit(kKey, Role::kPlayer) == home);
    rig.open(2, kKey, Role::kPlayer, other);
    CHECK(rig.stream(kKey).players == 1);
    CHECK(rig.hit(kKey, Role::kPlayer) == home);
    rig.fail(home, 3);  // and those that come when probes agree, too
    CHECK(rig.place(kKey, Role::kPublisher) == other);
    CHECK(rig.hit(kKey, Role::kPlayer) == other);
  }
  SUBCASE("those of a protocol whose endpoint is ejected") {
    rig.fail(home, 3, EndpointKind::kHttp);
    const OriginRef other = rig.place(kKey, Role::kPlayer, {}, EndpointKind::kHttp);
    CHECK_FALSE(other == home);
    for (int i = 0; i < 5; ++i) {
      CHECK(rig.place(kKey, Role::kPlayer, {}, EndpointKind::kHttp) == other);
    }
    CHECK(rig.hit(kKey, Role::kPlayer) == home);
    CHECK(rig.origin(home).streams == 1);
    rig.close(1);
    CHECK(rig.place(kKey, Role::kPlayer, {}, EndpointKind::kHttp) == other);
    CHECK(rig.hit(kKey, Role::kPlayer) == other);  // nobody watched any more
  }
}

TEST_CASE(
    "when all are ejected the first to come back is tried, but none that failed this client") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  const OriginRef b = rig.add("b", 2);
  rig.fail(a, 3);
  rig.now += 100;
  rig.fail(b, 3);
  CHECK(rig.place(kKey, Role::kPublisher) == a);
  CHECK(rig.place(kKey, Role::kPublisher, {a}) == b);
  CHECK(rig.ask(kKey, Role::kPublisher, {a, b}).status == RouteStatus::kNoOrigin);
}

TEST_CASE("the end of an ejection asks for a probe; without a verdict traffic comes back") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  rig.fail(a, 3);
  weir::Origins& origins = rig.registry.origins();
  CHECK(origins.next_timer_ms() == rig.now + rig.config.balance.eject_time);
  rig.now += rig.config.balance.eject_time;
  CHECK(rig.place(kKey, Role::kPlayer) == a);  // there is no other
  CHECK(shown(rig, a) == "ejected");
  const auto asked = probes(rig);
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].origin == a);
  CHECK(origins.next_timer_ms() > rig.now);
  SUBCASE("nobody answers") {
    rig.now = origins.next_timer_ms();
    rig.registry.tick(rig.now);
    CHECK(shown(rig, a) == "up");
    CHECK(origins.next_timer_ms() == 0);
    CHECK(probes(rig).empty());
    rig.fail(a);
    CHECK(shown(rig, a) == "ejected");
  }
  SUBCASE("it failed") {
    rig.fail(a);
    CHECK(origins.next_timer_ms() == rig.now + 2 * rig.config.balance.eject_time);
  }
  SUBCASE("it succeeded") {
    rig.succeed(a);
    CHECK(shown(rig, a) == "up");
    CHECK(origins.next_timer_ms() == 0);
  }
}

TEST_CASE("a new life and new endpoints begin without old failures") {
  Rig rig;
  const OriginRef a = rig.add("a", 1);
  rig.fail(a, 3);
  rig.say("a", "1", 1);
  CHECK(shown(rig, a) == "ejected");  // a heartbeat says nothing about an endpoint
  rig.say("a", "1", 2);
  CHECK(shown(rig, a) == "up");
  rig.fail(a, 3);
  rig.pass(rig.config.balance.origin_ttl);
  CHECK(shown(rig, a) == "dead");
  rig.say("a", "1", 2);
  CHECK(shown(rig, a) == "up");
  CHECK(rig.registry.origins().next_timer_ms() == 0);
}

TEST_CASE("an upgraded master leaves a stream where the old one's publisher is") {
  Rig old;
  const OriginRef a = old.add("a", 1);
  old.add("b", 2);
  old.open(1, kKey, Role::kPublisher, a);
  Rig rig;
  rig.now = old.now;
  old.writer.header().heartbeat_ms.store(old.now);
  rig.registry.adopt(Rig::map(old.writer));
  const OriginRef home = rig.place(kKey, Role::kPlayer);
  CHECK(rig.origin(home).endpoints[0][0].port == 1);
  rig.fail(home, 3);
  CHECK(rig.place(kKey, Role::kPlayer) == home);
  CHECK(rig.ask(kKey, Role::kPlayer, {home}).status == RouteStatus::kStreamElsewhere);
  old.close(1);
  CHECK_FALSE(rig.place(kKey, Role::kPlayer, {home}) == home);
}

TEST_CASE("two hundred origins whose endpoints flap") {
  Rig rig(256, 4096);
  std::vector<OriginRef> all;
  for (int i = 0; i < 200; ++i) {
    all.push_back(add_whole(rig, "o" + std::to_string(i), static_cast<std::uint8_t>(i + 1)));
  }
  std::uint64_t random = 3;
  for (std::size_t i = 0; i < all.size(); i += 2) {
    rig.open(i + 1, "v/live/" + std::to_string(i), Role::kPublisher, all[i]);
  }
  for (int step = 0; step < 20000; ++step) {
    random = weir::route::mix(random);
    const OriginRef some = all[random % all.size()];
    const auto kind = static_cast<EndpointKind>((random >> 20) % weir::ipc::kEndpointKinds);
    if ((random >> 30) % 4 == 0) {
      rig.succeed(some, kind);
    } else {
      rig.fail(some, 1, kind);
    }
    if (step % 50 != 0) continue;
    rig.pass(40);
    CHECK(probes(rig).size() <= all.size() * weir::ipc::kEndpointKinds);
    const std::size_t live = (random >> 40) % all.size() / 2 * 2;
    CHECK(rig.hit("v/live/" + std::to_string(live), Role::kPlayer) == all[live]);
    CHECK(rig.ask("v/new/" + std::to_string(step), Role::kPublisher).status == RouteStatus::kOk);
  }
  for (const OriginRef ref : all) {
    for (const EndpointKind kind : {EndpointKind::kRtmp, EndpointKind::kHttp, EndpointKind::kApi,
                                    EndpointKind::kSrt, EndpointKind::kRtc}) {
      rig.succeed(ref, kind);
    }
    CHECK(rig.origin(ref).ejected_kinds == 0);
  }
  CHECK(rig.registry.origins().next_timer_ms() == 0);
}
