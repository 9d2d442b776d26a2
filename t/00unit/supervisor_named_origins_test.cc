// Origins that are the addresses of a name: added, drained, back, merged; answers may say anything.
#include <map>

#include "supervisor_registry_support.h"

using weir::Endpoint;
using weir::ipc::Naming;
using weir::ipc::OriginRecord;
using weir::ipc::OriginRef;
using weir::ipc::Role;
using weir::test::Rig;

namespace {

weir::OriginsFromConfig block(const std::string& host, std::uint16_t port = 1935) {
  weir::OriginsFromConfig set;
  set.each.ip = weir::parse_origin_host(host, set.each.hosts).value();
  set.each.name = host.substr(0, host.find('.'));
  set.each.rtmp = {weir::parse_origin_endpoint(std::to_string(port), set.each.ip).value()};
  set.each.http = {weir::parse_origin_endpoint("8080", set.each.ip).value()};
  set.port = port;
  set.absent_timeout = 30000;
  return set;
}

struct Names : Rig {
  explicit Names(std::uint32_t max_origins = 16) : Rig(max_origins) {
    config.origins_from = {block("srs.test")};
    apply();
  }
  void tell(const std::vector<std::string>& addresses, std::uint32_t number = 0,
            std::uint8_t family = 0, std::size_t part = 192) {
    weir::ipc::NamedAddresses m;
    m.block = number;
    m.serial = ++serial;
    m.family = family;
    m.total = static_cast<std::uint16_t>(addresses.size());
    if (addresses.empty()) m.answer = weir::ipc::NameAnswer::kAbsent;
    do {
      m.row_count = 0;
      while (m.row_count < part && m.first + m.row_count < m.total) {
        m.rows[m.row_count] =
            weir::parse_ip(addresses[std::size_t{m.first} + std::size_t{m.row_count}]).value();
        ++m.row_count;
      }
      registry.named_origins().on_answer(m, now);
      m.first = static_cast<std::uint16_t>(m.first + m.row_count);
    } while (m.first < m.total);
  }
  // "10.0.0.1", "10.0.0.2 left": what there is, by address.
  std::map<std::string, OriginRef> all() const {
    std::map<std::string, OriginRef> out;
    for (const std::uint32_t slot : registry.origins().used()) {
      const OriginRecord& record = registry.origins().at(slot).record;
      CHECK((record.naming == Naming::kLeft) <= record.draining);
      out[ip_to_string(record.ip) + (record.naming == Naming::kLeft ? " left" : "")] =
          registry.origins().ref_of(slot);
    }
    return out;
  }
  std::string list() const {
    std::string out;
    for (const auto& [text, ref] : all()) out += (out.empty() ? "" : ", ") + text;
    return out;
  }
  OriginRef at(const std::string& text) const {
    const auto found = all();
    REQUIRE(found.count(text) == 1);
    return found.at(text);
  }
  std::uint32_t serial = 0;
};

std::vector<std::string> many(int count, int third = 0) {
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i) {
    out.push_back("10." + std::to_string(third) + "." + std::to_string(i / 250) + "." +
                  std::to_string(1 + i % 250));
  }
  return out;
}

}  // namespace

TEST_CASE("each address is an origin with the block's endpoints") {
  Names rig;
  CHECK(rig.list().empty());
  rig.tell({"10.0.0.2", "10.0.0.1"});
  rig.tell({"fd00::7"}, 0, 1);
  CHECK(rig.list() == "10.0.0.1, 10.0.0.2, fd00::7");
  const OriginRecord record = rig.origin(rig.at("fd00::7"));
  CHECK(weir::text_of(record.name) == "srs-fd00--7");
  CHECK(to_string(record.endpoints[0][0]) == "[fd00::7]:1935");
  CHECK(to_string(record.endpoints[1][0]) == "[fd00::7]:8080");
  CHECK(record.is_static);
  CHECK(record.certificate_name() == "srs.test");
  CHECK(state_text(record) == "up");
  const auto before = rig.all();
  rig.tell({"10.0.0.1", "10.0.0.2"});  // the order means nothing
  CHECK(rig.all() == before);
  rig.apply();
  CHECK(rig.all() == before);
}

TEST_CASE("what left drains with its streams, comes back, and goes when nobody is there") {
  Names rig;
  rig.tell({"10.0.0.1", "10.0.0.2"});
  const OriginRef one = rig.at("10.0.0.1");
  rig.open(1, "v/a/s", Role::kPublisher, one);
  rig.tell({"10.0.0.2"});
  CHECK(rig.list() == "10.0.0.1 left, 10.0.0.2");
  CHECK(rig.place("v/a/s", Role::kPlayer) == one);
  CHECK(rig.place("v/a/other", Role::kPublisher) == rig.at("10.0.0.2"));
  rig.pass(3600000);
  CHECK(rig.list() == "10.0.0.1 left, 10.0.0.2");
  rig.tell({"10.0.0.1", "10.0.0.2"});
  CHECK(rig.at("10.0.0.1") == one);
  CHECK(rig.stream("v/a/s").publishers == 1);
  rig.tell({"10.0.0.2"});
  rig.close(1);
  rig.pass(rig.config.stream_idle_timeout + 1000);
  rig.pass(1000);
  CHECK(rig.list() == "10.0.0.2");
  CHECK(rig.writer.header().named_drained.load() == 2);
  CHECK(rig.writer.header().named_returned.load() == 1);
}

TEST_CASE("drain_timeout ends the wait, and an operator's drain outlives an absence") {
  Names rig;
  rig.config.origins_from[0].drain_timeout = 5000;
  rig.apply();
  rig.tell({"10.0.0.1", "10.0.0.2"});
  rig.open(1, "v/a/s", Role::kPublisher, rig.at("10.0.0.1"));
  weir::ipc::OriginCommand command;
  command.origin = rig.at("10.0.0.2");
  rig.registry.origins().command(command);
  rig.tell({"10.0.0.3"});
  command.action = weir::ipc::OriginAction::kUndrain;
  CHECK(rig.registry.origins().command(command).code == weir::ipc::ReplyCode::kStatic);
  rig.tell({"10.0.0.2", "10.0.0.3"});
  CHECK(rig.origin(rig.at("10.0.0.2")).draining);
  CHECK(rig.registry.origins().command(command).code == weir::ipc::ReplyCode::kOk);
  CHECK_FALSE(rig.origin(rig.at("10.0.0.2")).draining);
  rig.pass(4000);
  CHECK(rig.list() == "10.0.0.1 left, 10.0.0.2, 10.0.0.3");
  rig.pass(1000);
  CHECK(rig.list() == "10.0.0.2, 10.0.0.3");
}

TEST_CASE("no such name: those that answer stay, those that fail their probes go after a while") {
  Names rig;
  rig.tell({"10.0.0.1", "10.0.0.2"});
  const auto fails = [&rig](int seconds) {
    for (int i = 0; i < seconds; ++i) {
      rig.fail(rig.at("10.0.0.1"), 50);
      rig.pass(1000);
    }
  };
  fails(60);
  rig.tell({});
  fails(29);
  CHECK(rig.list() == "10.0.0.1, 10.0.0.2");
  rig.succeed(rig.at("10.0.0.1"));  // restarted where it is
  rig.pass(3600000);
  fails(29);
  rig.tell({});  // said again: the time goes on
  fails(1);
  CHECK(rig.list() == "10.0.0.1, 10.0.0.2");
  fails(1);
  CHECK(rig.list() == "10.0.0.2");
  rig.pass(3600000);
  CHECK(rig.list() == "10.0.0.2");
  rig.tell({"10.0.0.1"});
  CHECK(rig.list() == "10.0.0.1, 10.0.0.2 left");
}

TEST_CASE("the table is full: the rest waits, and what has left makes room at once") {
  Names rig(8);
  rig.tell(many(20));
  CHECK(rig.registry.origins().used().size() == 8);
  CHECK(rig.writer.header().named_waiting.load() == 12);
  CHECK(rig.writer.header().origins_refused.load() == 12);
  rig.pass(1000);
  CHECK(rig.writer.header().origins_refused.load() == 12);
  rig.tell(many(8, 1));
  CHECK(rig.registry.origins().used().size() == 8);
  CHECK(rig.list().find("left") == std::string::npos);
  CHECK(rig.writer.header().named_waiting.load() == 0);
}

TEST_CASE("a thousand addresses in parts, all others the next second") {
  Names rig(1024);
  for (int turn = 0; turn < 5; ++turn) {
    rig.tell(many(1000, turn % 2));
    std::size_t named = 0;
    for (const std::uint32_t slot : rig.registry.origins().used()) {
      named += rig.registry.origins().at(slot).record.naming == Naming::kNamed ? 1U : 0U;
    }
    CHECK(named == 1000);
    CHECK(rig.writer.header().named_waiting.load() == 0);
    rig.pass(1000);
  }
}

TEST_CASE("one server is one origin: registered, configured, of two names") {
  Names rig;
  const OriginRef self = rig.add("srs", 1935);  // 10.0.0.1
  rig.open(1, "v/a/s", Role::kPublisher, self);
  rig.tell({"10.0.0.1", "10.0.0.2"});
  CHECK(rig.at("10.0.0.1") == self);
  CHECK(rig.stream("v/a/s").publishers == 1);
  CHECK(weir::text_of(rig.origin(self).name) == "srs-10.0.0.1");
  CHECK(rig.add("srs", 1935) == self);
  // The name has lost it, its own word counts.
  rig.tell({"10.0.0.2"});
  CHECK(rig.list() == "10.0.0.1 left, 10.0.0.2");
  CHECK(rig.add("srs", 1935) == self);
  CHECK(rig.list() == "10.0.0.1, 10.0.0.2");
  CHECK_FALSE(rig.origin(self).is_static);
  CHECK_FALSE(rig.origin(self).draining);
  // Another name with the same address: nothing until the first one has lost it.
  rig.config.origins_from.push_back(block("other.test"));
  rig.apply();
  rig.tell({"10.0.0.2"}, 1);
  const OriginRef two = rig.at("10.0.0.2");
  rig.tell({"10.0.0.3"});
  rig.pass(1000);
  CHECK(rig.list() == "10.0.0.1, 10.0.0.2, 10.0.0.3");
  CHECK(weir::text_of(rig.origin(rig.at("10.0.0.2")).name) == "other-10.0.0.2");
  CHECK(rig.writer.header().named_waiting.load() == 0);
  static_cast<void>(two);
  // An origin block takes it.
  weir::OriginConfig x;
  x.name = "x";
  x.ip = Rig::endpoint(0, 3);
  x.rtmp = {Rig::endpoint(1935, 3)};
  rig.config.origins = {x};
  rig.apply();
  rig.pass(1000);
  CHECK(rig.list() == "10.0.0.1, 10.0.0.2, 10.0.0.3");
  CHECK(weir::text_of(rig.origin(rig.at("10.0.0.3")).name) == "x");
  rig.config.origins.clear();
  rig.apply();
  rig.pass(1000);
  CHECK(weir::text_of(rig.origin(rig.at("10.0.0.3")).name) == "srs-10.0.0.3");
}

TEST_CASE("reload: a changed block changes its origins, a removed one drains them") {
  Names rig;
  rig.tell({"10.0.0.1", "10.0.0.2"});
  const auto before = rig.all();
  rig.open(1, "v/a/s", Role::kPublisher, rig.at("10.0.0.1"));
  rig.config.origins_from[0].each.weight = 7;
  rig.config.origins_from[0].each.http[0].port = 8081;
  rig.apply();
  CHECK(rig.all() == before);
  CHECK(rig.origin(rig.at("10.0.0.2")).weight == 7);
  CHECK(rig.origin(rig.at("10.0.0.2")).endpoints[1][0].port == 8081);
  CHECK(rig.stream("v/a/s").publishers == 1);
  rig.config.origins_from.insert(rig.config.origins_from.begin(), block("first.test"));
  rig.apply();
  rig.tell({"10.0.0.9"}, 0);
  rig.tell({"10.0.0.1", "10.0.0.2"}, 1);
  CHECK(rig.list() == "10.0.0.1, 10.0.0.2, 10.0.0.9");
  rig.config.origins_from.pop_back();
  rig.apply();
  CHECK(rig.list() == "10.0.0.1 left, 10.0.0.2 left, 10.0.0.9");
  rig.pass(1000);
  CHECK(rig.list() == "10.0.0.1 left, 10.0.0.9");
  // Another name for the same servers: the stream is where it was.
  rig.config.origins_from.push_back(block("new.test"));
  rig.apply();
  rig.tell({"10.0.0.1"}, 1);
  CHECK(rig.at("10.0.0.1") == before.at("10.0.0.1"));
  CHECK(rig.stream("v/a/s").publishers == 1);
}

TEST_CASE("reload: another PORT, and what the name stands for is known before any answer") {
  Names rig;
  rig.tell({"10.0.0.1", "10.0.0.2"});
  const OriginRef old = rig.at("10.0.0.1");
  rig.open(1, "v/a/s", Role::kPublisher, old);
  rig.tell({"10.0.0.1"});
  rig.pass(1000);
  rig.config.origins_from = {block("srs.test", 1936)};
  rig.apply();
  CHECK(rig.list() == "10.0.0.1, 10.0.0.1 left");
  CHECK(rig.at("10.0.0.1 left") == old);
  CHECK(rig.origin(rig.at("10.0.0.1")).endpoints[0][0].port == 1936);
  CHECK(rig.place("v/a/s", Role::kPlayer) == old);
  CHECK(rig.place("v/a/t", Role::kPlayer) == rig.at("10.0.0.1"));
  rig.tell({"10.0.0.3"});
  CHECK(rig.origin(rig.at("10.0.0.3")).endpoints[0][0].port == 1936);
  // Both ports are asked for with one name, and the new block has both endpoints.
  weir::OriginsFromConfig both = block("srs.test", 1937);
  both.each.rtmp.push_back(rig.config.origins_from[0].each.rtmp[0]);
  const OriginRef third = rig.at("10.0.0.3");
  rig.config.origins_from = {both};
  rig.apply();
  CHECK(rig.at("10.0.0.3") == third);
}

TEST_CASE("hostile answers change nothing") {
  Names rig;
  rig.tell({"10.0.0.1"});
  const std::string before = rig.list();
  rig.tell({"10.0.0.5"}, 1);
  rig.tell({"10.0.0.5"}, 4000000000U);
  rig.tell({"10.0.0.5"}, 0, 1);
  rig.tell({"10.0.0.5"}, 0, 2);
  rig.tell({"fd00::1"}, 0, 0);
  for (const char* bad : {"0.0.0.0", "224.0.0.1", "255.255.255.255"}) rig.tell({bad, "10.0.0.5"});
  weir::ipc::NamedAddresses m;
  m.rows[0] = weir::parse_ip("10.0.0.5").value();
  const auto send = [&](std::uint16_t total, std::uint16_t first, std::uint16_t rows) {
    m.serial = 77;
    m.total = total;
    m.first = first;
    m.row_count = rows;
    rig.registry.named_origins().on_answer(m, rig.now);
  };
  send(0, 0, 0);
  send(65535, 0, 1);
  send(2, 0, 1);
  send(2, 0, 1);
  send(3, 1, 1);
  send(2, 1, 1);
  send(1, 1, 0);
  send(1, 0, 2);
  send(1, 65535, 1);
  m.generation = 1;  // of a worker that has other blocks
  send(1, 0, 1);
  CHECK(rig.list() == before);
}

TEST_CASE("an upgrade takes them over, the left ones too") {
  Names old;
  old.tell({"10.0.0.1", "10.0.0.2"});
  old.open(1, "v/a/s", Role::kPublisher, old.at("10.0.0.1"));
  old.tell({"10.0.0.2"});
  old.writer.header().heartbeat_ms.store(old.now);
  Names rig;
  rig.registry.adopt(Rig::map(old.writer));
  rig.pass(1000);
  CHECK(rig.list() == "10.0.0.1 left, 10.0.0.2");
  CHECK(rig.place("v/a/s", Role::kPlayer) == rig.at("10.0.0.1 left"));
  rig.tell({"10.0.0.1", "10.0.0.2"});
  CHECK(rig.list() == "10.0.0.1, 10.0.0.2");
  CHECK_FALSE(rig.origin(rig.at("10.0.0.1")).draining);
  // Nobody here knows who is at those that left as long as the old program runs.
  Names other;
  other.registry.adopt(Rig::map(old.writer));
  other.pass(2000);
  CHECK(other.list() == "10.0.0.1 left, 10.0.0.2");
  other.pass(20000);
  // Its streams are idle here by now.
  for (int i = 0; i < 8; ++i) other.pass(20000);
  CHECK(other.list() == "10.0.0.2");
}
