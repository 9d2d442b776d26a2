// `weir -k`: who is picked, and who is asked, for a stream that nobody knows.
#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "common/config/config.h"
#include "ipc/state_writer.h"
#include "supervisor/explain.h"

namespace weir {
namespace {

struct World {
  ipc::StateWriter writer = [] {
    auto made = ipc::StateWriter::make({8, 16});
    REQUIRE(made.has_value());
    return std::move(*made);
  }();
  ipc::StateView view = [this] {
    auto made = ipc::StateView::map(writer.state_fd());
    REQUIRE(made.has_value());
    return std::move(*made);
  }();
  Config config;

  template <typename Change>
  void origin(const char* name, const Change& change) {
    ipc::OriginRecord record;
    const std::uint32_t slot = writer.take_origin(record.generation);
    std::strncpy(record.name, name, sizeof record.name - 1);
    record.state = ipc::OriginState::kUp;
    record.weight = 1;
    for (auto& count : record.endpoint_count) count = 1;
    change(record);
    writer.put_origin(slot, record);
  }
  bool says(std::string_view url, const std::string& line) const {
    const auto explained = explain_url(url, config, &view);
    REQUIRE(explained.has_value());
    CAPTURE(explained->text);
    const bool is_there = explained->text.find(line + "\n") != std::string::npos;
    CHECK(is_there);
    return is_there;
  }
};

void nothing(ipc::OriginRecord& /*record*/) {}
void eject(ipc::OriginRecord& record) {
  record.ejected_kinds = 0xFF;
}

TEST_CASE("explain: a search asks draining origins, too, and a policy picks none") {
  World world;
  world.origin("o1", nothing);
  world.origin("o2", [](ipc::OriginRecord& record) { record.draining = true; });
  CHECK(world.says("http://h/live/a.flv", "origin    asked of all that may have it: o1, o2"));
  const std::string picks =
      "origin    by balance.policy " + world.config.balance.policy + " of: o1";
  for (const char* url : {"rtmp://h/live/a", "srt://h?streamid=#!::r=live/a,m=request",
                          "http://h:1985/rtc/v1/whep/?app=live&stream=a"}) {
    CAPTURE(url);
    CHECK(world.says(url, picks));
    CHECK(world.says(url, "search    after a no the next one is asked, of: o1, o2"));
  }
  const auto publisher =
      explain_url("http://h:1985/rtc/v1/whip/?app=live&stream=a", world.config, &world.view);
  REQUIRE(publisher.has_value());
  CHECK(publisher->text.find("search ") == std::string::npos);
  world.config.search.enabled = false;
  CHECK(world.says("http://h/live/a.flv", picks));
}

TEST_CASE("explain: of whom one is picked, the first that there are") {
  World world;
  world.config.default_backend.enabled = true;
  const auto picked = [&](const std::string& who) {
    return world.says("rtmp://h/live/a", "origin    " + who);
  };
  const std::string policy = "by balance.policy " + world.config.balance.policy + " of: ";
  world.origin("drains", [](ipc::OriginRecord& record) { record.draining = true; });
  world.origin("weightless", [](ipc::OriginRecord& record) { record.weight = 0; });
  CHECK(picked("none: no origin takes this protocol"));
  world.origin("sick", eject);
  CHECK(picked("no sound one; it is tried all the same at one of: sick"));
  CHECK(world.says("http://h/live/a.flv",
                   "origin    asked of all that may have it: drains, weightless"));
  world.origin("default", nothing);
  CHECK(picked(policy + "default"));
  world.origin("kept", [](ipc::OriginRecord& record) { record.unproven = true; });
  CHECK(picked(policy + "kept"));
  world.origin("o1", nothing);
  CHECK(picked(policy + "o1"));
  for (const char* other :
       {"drains :0 (draining)", "weightless :0: weight 0, so it takes no new stream",
        "sick :0: this endpoint fails its probes",
        "default :0: the default backend, for when no other can take it",
        "kept :0: not heard of since the restart, so others come first"}) {
    CHECK(world.says("rtmp://h/live/a", "not       " + std::string(other)));
  }
}

}  // namespace
}  // namespace weir
