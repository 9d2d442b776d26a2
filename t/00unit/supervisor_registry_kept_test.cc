// What a service that has ended left in its state segment, and what becomes of it.
#include <cstring>
#include <vector>

#include "common/base/clock.h"
#include "doctest/doctest.h"
#include "ipc/boot_id.h"
#include "ipc/saved_state.h"
#include "t/00unit/supervisor_registry_support.h"

namespace weir {
namespace {

using ipc::OriginRef;
using ipc::Role;
using test::Rig;

struct After : Rig {
  explicit After(const Rig& before) { registry.restore(before.view, now); }
  OriginRef at(const std::string& key) const { return ipc::origin_of(stream(key)); }
  bool kept(const std::string& key) const { return stream(key).has(ipc::kKept); }
  bool unproven(OriginRef ref) const { return origin(ref).unproven; }
  std::string name(OriginRef ref) const { return std::string(text_of(origin(ref).server)); }
};

struct Before : Rig {
  OriginRef a = add("a", 1935);
  OriginRef b = add("b", 1936);
};

}  // namespace

TEST_CASE("streams and registered origins are found again, unproven") {
  Before before;
  before.open(1, "v/live/published", Role::kPublisher, before.b);
  before.open(2, "v/live/played", Role::kPlayer, before.a);
  const std::string longest(500, 'k');
  before.open(3, "v/live/" + longest, Role::kPublisher, before.b);
  After after(before);
  CHECK(after.name(after.at("v/live/published")) == "b");
  CHECK(after.name(after.at("v/live/played")) == "a");
  CHECK(after.name(after.at("v/live/" + longest)) == "b");
  CHECK(after.kept("v/live/published"));
  CHECK(after.stream("v/live/published").publishers == 0);
  const OriginRef b = after.at("v/live/published");
  CHECK(after.unproven(b));
  // At once, without the master.
  CHECK(after.hit("v/live/published", Role::kPlayer) == b);
  CHECK(after.hit("v/live/published", Role::kPublisher) == b);
  // The publisher is back.
  after.open(7, "v/live/published", Role::kPublisher, b);
  CHECK_FALSE(after.kept("v/live/published"));
  after.close(7);
  CHECK_FALSE(after.kept("v/live/published"));
  // Nobody wants the other one.
  after.registry.tick(after.now += 24 * 3600 * 1000);
  CHECK_FALSE(after.known("v/live/played"));
}

TEST_CASE("an origin is proven by a heartbeat, a probe, or its API") {
  for (int how = 0; how < 3; ++how) {
    Before before;
    before.open(1, "v/live/s", Role::kPublisher, before.a);
    After after(before);
    const OriginRef a = after.at("v/live/s");
    CHECK(after.unproven(a));
    after.fail(a);
    CHECK(after.unproven(a));
    if (how == 0) CHECK(after.say("a", "1", 1935).origin == a);
    if (how == 1) after.succeed(a);
    if (how == 2) {
      ipc::OriginLearn message;
      message.origin = a;
      message.api = ipc::LearnApi::kSrs;
      message.state = ipc::LearnState::kFresh;
      after.registry.note_learn(message, after.now);
    }
    CHECK_FALSE(after.unproven(a));
  }
}

TEST_CASE("new streams go to an unproven origin only if nobody is known to be there") {
  Before before;
  After after(before);
  CHECK(after.unproven(after.place("v/live/first", Role::kPublisher)));
  after.say("c", "1", 1937);
  for (int i = 0; i < 20; ++i) {
    CHECK(after.name(after.place("v/live/n" + std::to_string(i), Role::kPublisher)) == "c");
  }
}

TEST_CASE("an unproven origin that is not heard of dies as ever") {
  Before before;
  before.open(1, "v/live/s", Role::kPublisher, before.a);
  After after(before);
  const OriginRef a = after.at("v/live/s");
  after.pass(static_cast<std::uint64_t>(after.config.balance.origin_ttl) + 1);
  CHECK(after.origin(a).state == ipc::OriginState::kDead);
  CHECK_FALSE(after.hit("v/live/s", Role::kPlayer).has_value());
  const OriginRef c = after.add("c", 1937);
  CHECK(after.place("v/live/s", Role::kPlayer) == c);  // and its streams move
  CHECK_FALSE(after.kept("v/live/s"));
}

TEST_CASE("what an origin's API shows decides about what was kept") {
  Before before;
  before.open(1, "v/live/still", Role::kPublisher, before.a);
  before.open(2, "v/live/gone", Role::kPublisher, before.a);
  before.open(3, "v/live/moved", Role::kPublisher, before.a);
  After after(before);
  const OriginRef a = after.at("v/live/still");
  const OriginRef b = after.say("b", "1", 1936).origin;
  const auto learn = [&](const std::string& key, OriginRef at) {
    ipc::StreamLearned message;
    message.origin = at;
    message.key.assign(key);
    after.registry.learn_stream(message, after.now);
  };
  learn("v/live/still", a);
  learn("v/live/moved", b);
  ipc::StreamUnlearned gone;
  gone.origin = a;
  gone.key.assign("v/live/gone");
  after.registry.unlearn_stream(gone, after.now);
  CHECK(after.stream("v/live/still").has(ipc::kLearned));
  for (const char* key : {"v/live/still", "v/live/moved", "v/live/gone"}) {
    CHECK_FALSE(after.kept(key));
  }
  CHECK(after.at("v/live/moved") == b);
}

TEST_CASE("a second end keeps what the first one left") {
  Before before;
  before.open(1, "v/live/s", Role::kPublisher, before.a);
  After once(before);
  After twice(static_cast<const Rig&>(once));
  CHECK(twice.kept("v/live/s"));
  CHECK(twice.name(twice.at("v/live/s")) == "a");
  CHECK(twice.writer.header().origins_used == 2);
}

TEST_CASE("origins of the configuration are its own; dead ones are not taken over") {
  Before before;
  before.open(1, "v/live/s", Role::kPublisher, before.b);
  before.pass(static_cast<std::uint64_t>(before.config.balance.origin_ttl) + 1);
  CHECK(before.origin(before.a).state == ipc::OriginState::kDead);
  After after(before);
  CHECK(after.writer.header().origins_used == 0);
  CHECK_FALSE(after.known("v/live/s"));
}

TEST_CASE("the API's word on draining is kept until the configuration changes its own") {
  const auto with = [](bool drain) {
    OriginConfig origin;
    origin.name = "configured";
    origin.drain = drain;
    origin.rtmp = {Rig::endpoint(1935)};
    Config config;
    config.origins = {origin};
    return config;
  };
  for (const bool before_drain : {false, true}) {
    for (const bool after_drain : {false, true}) {
      for (const bool told : {false, true}) {
        Rig before;
        before.registry.apply(with(before_drain), before.now);
        ipc::OriginCommand command;
        command.origin = {0, 1};
        command.action = told ? ipc::OriginAction::kDrain : ipc::OriginAction::kUndrain;
        REQUIRE(before.registry.origins().command(command).code == ipc::ReplyCode::kOk);
        Rig after;
        after.registry.apply(with(after_drain), after.now);
        after.registry.restore(before.view, after.now);
        CHECK(after.origin({0, 1}).draining == (before_drain == after_drain ? told : after_drain));
      }
    }
  }
}

TEST_CASE("a record of an origin is believed if it is whole") {
  Before before;
  const ipc::OriginRecord good = before.origin(before.a);
  CHECK(ipc::plausible(good));
  const auto spoilt = [&good](auto&& spoil) {
    ipc::OriginRecord record = good;
    spoil(record);
    return !ipc::plausible(record);
  };
  const auto odd = static_cast<Family>(77);
  CHECK(spoilt([&](auto& r) { r.ip.family = odd; }));
  CHECK(spoilt([&](auto& r) { r.addresses[3].family = odd; }));
  CHECK(spoilt([&](auto& r) { r.endpoints[0][0].family = odd; }));
  CHECK(spoilt([&](auto& r) { r.endpoints[0][0].port = 0; }));
  CHECK(spoilt([&](auto& r) { r.endpoint_count[2] = 5; }));
  CHECK(spoilt([&](auto& r) { r.weight = limits::kOriginWeight + 1; }));
  CHECK(spoilt([&](auto& r) { r.name[0] = '\0'; }));
  CHECK(spoilt([&](auto& r) { r.pid[0] = '\n'; }));
  CHECK(spoilt([&](auto& r) { std::memset(r.server, 'x', sizeof r.server); }));
  CHECK(spoilt([&](auto& r) { std::memset(&r.drain_configured, 2, 1); }));
}

TEST_CASE("whatever the segment holds, only what is whole comes out") {
  Before before;
  before.open(1, "v/live/s", Role::kPublisher, before.a);
  before.open(2, "v/live/" + std::string(200, 'x'), Role::kPublisher, before.b);
  const auto size = ipc::file_size(before.writer.state_fd());
  REQUIRE(size.has_value());
  const auto mapping =
      ipc::Mapping::map(before.writer.state_fd(), 0, *size, ipc::Mapping::Access::kRead);
  REQUIRE(mapping.has_value());
  const auto* whole = static_cast<const std::uint8_t*>(mapping->data());
  const auto load = [&](std::size_t at, std::uint8_t flip) {
    auto fd = ipc::make_memfd("kept", *size);
    REQUIRE(fd.has_value());
    auto copy = ipc::Mapping::map(fd->get(), 0, *size, ipc::Mapping::Access::kWrite);
    REQUIRE(copy.has_value());
    auto* bytes = static_cast<std::uint8_t*>(copy->data());
    std::memcpy(bytes, whole, *size);
    bytes[at] ^= flip;
    return ipc::StateView::map(fd->get());
  };
  const ipc::StateHeader& header = before.writer.header();
  std::size_t views = 0;
  const auto restore = [&](std::size_t from, std::size_t bytes) {
    for (std::size_t at = from; at < from + bytes; ++at) {
      for (const unsigned flip : {0x01U, 0x80U, 0xFFU}) {
        auto view = load(at, static_cast<std::uint8_t>(flip));
        if (!view) continue;
        ++views;
        Rig after;
        after.registry.restore(*view, after.now);
        after.pass(1000);
      }
    }
  };
  restore(0, 160);  // the header's counts and offsets
  restore(header.origins_offset, 64);
  restore(header.origins_offset + 480, 1000);
  restore(header.streams_offset, 2 * sizeof(ipc::StreamSlot));
  restore(header.keys_offset, 2 * sizeof(ipc::KeyBlock));
  CHECK(views > 3000);
  // A key that is not what its hash says is nobody's.
  auto view = load(header.keys_offset + 3, 0x01);
  REQUIRE(view.has_value());
  Rig after;
  after.registry.restore(*view, after.now);
  CHECK(after.writer.header().streams_used == 1);
}

TEST_CASE("a segment of another boot, or of long ago, is not taken up") {
  Rig rig;
  rig.writer.header().heartbeat_ms = 5000;
  const std::string boot = ipc::read_boot_id();
  CHECK(ipc::check_saved(rig.view, boot, 6000, 1000).has_value());
  CHECK_FALSE(ipc::check_saved(rig.view, boot, 6001, 1000).has_value());
  CHECK_FALSE(ipc::check_saved(rig.view, boot, 4999, 1000).has_value());
  CHECK_FALSE(ipc::check_saved(rig.view, "another", 5000, 1000).has_value());
  rig.writer.header().stream_capacity = limits::kMaxStreams + 1;
  CHECK_FALSE(ipc::check_saved(rig.view, boot, 6000, 1000).has_value());
  rig.writer.header().stream_capacity = 64;
  rig.writer.header().origin_capacity = limits::kMaxOrigins + 1;
  CHECK_FALSE(ipc::check_saved(rig.view, boot, 6000, 1000).has_value());
}

}  // namespace weir
