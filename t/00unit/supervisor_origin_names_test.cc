// Origins by name: their addresses come from the control worker, in messages that may say anything.
#include "supervisor_registry_support.h"

using weir::Endpoint;
using weir::Family;
using weir::ipc::EndpointKind;
using weir::ipc::OriginRef;
using weir::ipc::Role;
using weir::test::Rig;

namespace {

weir::OriginConfig named(const std::string& name, const std::string& host) {
  weir::OriginConfig config;
  config.name = name;
  config.ip = weir::parse_origin_host(host, config.hosts).value();
  config.rtmp = {weir::parse_origin_endpoint("1935", config.ip, &config.hosts).value()};
  config.srt = {weir::parse_origin_endpoint("10080", config.ip, &config.hosts).value()};
  return config;
}

void tell(Rig& rig, OriginRef origin, const char* address, std::uint32_t host = 1) {
  weir::ipc::OriginAddress message;
  message.origin = origin;
  message.host = host;
  message.address = weir::parse_ip(address).value();
  rig.registry.origins().set_address(message);
}

OriginRef only(const Rig& rig) {
  const auto& used = rig.registry.origins().used();
  REQUIRE(used.size() == 1);
  return rig.registry.origins().ref_of(used.front());
}

}  // namespace

TEST_CASE("an origin by name is there, and takes nobody until its address is known") {
  Rig rig;
  rig.config.origins = {named("x", "a.test")};
  rig.apply();
  const OriginRef x = only(rig);
  CHECK(state_text(rig.origin(x)) == "unresolved");
  CHECK(rig.ask("v/a/s", Role::kPublisher).status == weir::ipc::RouteStatus::kNoOrigin);
  CHECK(rig.origin(x).addresses[0].port == 1935);
  tell(rig, x, "10.0.0.7");
  CHECK(state_text(rig.origin(x)) == "up");
  CHECK(to_string(rig.origin(x).endpoints[0][0]) == "10.0.0.7:1935");
  CHECK(to_string(rig.origin(x).endpoints[3][0]) == "10.0.0.7:10080");
  CHECK(rig.origin(x).certificate_name() == "a.test");
  CHECK(rig.place("v/a/s", Role::kPublisher) == x);
}

TEST_CASE("another address: sessions and streams stay, health begins anew") {
  Rig rig;
  rig.config.origins = {named("x", "a.test")};
  rig.apply();
  const OriginRef x = only(rig);
  tell(rig, x, "10.0.0.7");
  rig.place("v/a/s", Role::kPublisher);
  rig.open(1, "v/a/s", Role::kPublisher, x);
  rig.fail(x, 50);
  CHECK(rig.origin(x).is_ejected(EndpointKind::kRtmp));
  tell(rig, x, "fd00::7");
  CHECK(to_string(rig.origin(x).endpoints[0][0]) == "[fd00::7]:1935");
  CHECK_FALSE(rig.origin(x).is_ejected(EndpointKind::kRtmp));
  CHECK(rig.stream("v/a/s").publishers == 1);
  CHECK(rig.place("v/a/s", Role::kPlayer) == x);
  CHECK(find_endpoint(rig.registry.origins(), EndpointKind::kRtmp, rig.origin(x).endpoints[0][0]) ==
        x);
}

TEST_CASE("addresses that make no sense change nothing") {
  Rig rig;
  rig.config.origins = {named("x", "a.test")};
  rig.apply();
  const OriginRef x = only(rig);
  for (const char* bad : {"0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"})
    tell(rig, x, bad);
  for (const std::uint32_t host : {0U, 2U, 4U, 5U, 4000000000U}) tell(rig, x, "10.0.0.7", host);
  tell(rig, {x.slot, x.generation + 1}, "10.0.0.7");
  tell(rig, {4000, 1}, "10.0.0.7");
  weir::ipc::OriginAddress strange;
  strange.origin = x;
  strange.host = 1;
  strange.address.family = Family::kName;
  strange.address.ip[0] = 1;
  rig.registry.origins().set_address(strange);
  strange.address.family = static_cast<Family>(77);
  rig.registry.origins().set_address(strange);
  CHECK(state_text(rig.origin(x)) == "unresolved");
}

TEST_CASE("registrations with names: heartbeats keep addresses, hostile numbers are refused") {
  Rig rig;
  weir::ipc::OriginRegister m = Rig::registration("srs", "1", 1935);
  m.hosts.add("a.test");
  m.endpoints[0][0].family = Family::kName;
  m.endpoints[0][0].ip[0] = 1;
  const OriginRef x = rig.registry.origins().register_origin(m, rig.now).origin;
  CHECK(state_text(rig.origin(x)) == "unresolved");
  tell(rig, x, "10.0.0.7");
  CHECK(rig.registry.origins().register_origin(m, rig.now).origin == x);
  CHECK(to_string(rig.origin(x).endpoints[0][0]) == "10.0.0.7:1935");
  weir::ipc::OriginRegister other = m;
  other.hosts = {};
  other.hosts.add("b.test");
  rig.registry.origins().register_origin(other, rig.now);
  CHECK(state_text(rig.origin(x)) == "unresolved");
  for (const unsigned number : {0U, 2U, 5U, 255U}) {
    m.endpoints[0][0].ip[0] = static_cast<std::uint8_t>(number);
    CHECK(rig.registry.origins().register_origin(m, rig.now).code ==
          weir::ipc::ReplyCode::kInvalid);
  }
}

TEST_CASE("one server is one origin: registered before the address of its block's name is known") {
  Rig rig;
  rig.config.origins = {named("x", "a.test")};
  rig.apply();
  const OriginRef x = only(rig);
  const OriginRef self = rig.add("srs", 1935);  // 10.0.0.1
  rig.open(1, "v/a/s", Role::kPublisher, self);
  rig.pass(1000);
  tell(rig, x, "10.0.0.1");
  CHECK(only(rig) == self);
  CHECK(weir::text_of(rig.origin(self).name) == "x");
  CHECK(rig.origin(self).is_static);
  CHECK(to_string(rig.origin(self).endpoints[3][0]) == "10.0.0.1:10080");
  CHECK(rig.stream("v/a/s").publishers == 1);
  CHECK(rig.place("v/a/s", Role::kPlayer) == self);
  CHECK(rig.add("srs", 1935) == self);
  // Its name is followed, its block's changes reach it.
  tell(rig, self, "10.0.0.5");
  CHECK(to_string(rig.origin(self).endpoints[0][0]) == "10.0.0.5:1935");
  rig.config.origins.front().weight = 7;
  rig.apply();
  CHECK(rig.origin(self).weight == 7);
  rig.config.origins.clear();
  rig.apply();
  CHECK(rig.registry.origins().used().empty());
}

TEST_CASE(
    "one server is one origin: registered by a name that shows to be one of the configuration") {
  Rig rig;
  weir::OriginConfig config = named("x", "a.test");
  config.hosts = {};
  config.ip = weir::parse_ip("10.0.0.7").value();
  config.rtmp = {weir::parse_origin_endpoint("1935", config.ip).value()};
  config.srt.clear();
  rig.config.origins = {config};
  rig.apply();
  const OriginRef x = only(rig);
  rig.open(1, "v/a/s", Role::kPublisher, x);
  weir::ipc::OriginRegister m = Rig::registration("srs", "1", 1935);
  m.hosts.add("a.test");
  m.endpoints[0][0].family = Family::kName;
  m.endpoints[0][0].ip[0] = 1;
  const OriginRef other = rig.registry.origins().register_origin(m, rig.now).origin;
  CHECK(rig.registry.origins().used().size() == 2);
  tell(rig, other, "10.0.0.7");
  CHECK(only(rig) == x);
  CHECK(weir::text_of(rig.origin(x).server) == "srs");
  CHECK(rig.registry.origins().register_origin(m, rig.now).origin == x);
  CHECK(rig.stream("v/a/s").publishers == 1);
  // The block gets a name in the place of the address, and another name of its own.
  rig.config.origins = {named("y", "a.test")};
  rig.config.origins.front().rtmp.push_back(config.rtmp.front());
  rig.apply();
  CHECK(only(rig) == x);
  CHECK(weir::text_of(rig.origin(x).name) == "y");
  CHECK(rig.place("v/a/s", Role::kPlayer) == x);
}

TEST_CASE("what one origin's name stands for is known to the next one, and after a change of it") {
  Rig rig;
  rig.config.origins = {named("x", "a.test")};
  rig.apply();
  tell(rig, only(rig), "10.0.0.7");
  rig.config.origins.front().http = {
      weir::parse_origin_endpoint("80", rig.config.origins.front().ip).value()};
  rig.config.origins.push_back(named("y", "a.test"));
  rig.config.origins.back().rtmp.front().port = 1936;
  rig.apply();
  REQUIRE(rig.registry.origins().used().size() == 2);
  for (const std::uint32_t slot : rig.registry.origins().used()) {
    CHECK(ip_to_string(rig.registry.origins().at(slot).record.ip) == "10.0.0.7");
  }
}
