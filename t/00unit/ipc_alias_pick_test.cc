// Which of several streams a request means, and which ones it is judged for.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "ipc/alias_pick.h"
#include "ipc/state_writer.h"

namespace {

using namespace weir::ipc;
using weir::route::parse_stream_key;

struct World {
  StateWriter writer = [] {
    auto made = StateWriter::make({4, 16});
    REQUIRE(made.has_value());
    return std::move(*made);
  }();
  StateView view = [this] {
    auto made = StateView::map(writer.state_fd());
    REQUIRE(made.has_value());
    return std::move(*made);
  }();

  OriginRef origin() {
    OriginRecord record;
    const std::uint32_t slot = writer.take_origin(record.generation);
    record.state = OriginState::kUp;
    writer.put_origin(slot, record);
    return {slot, record.generation};
  }
  void stream(std::string_view key, OriginRef at, std::uint32_t publishers,
              std::uint8_t flags = 0) {
    StreamHead record;
    record.origin_slot = at.slot;
    record.origin_generation = at.generation;
    record.publishers = publishers;
    record.flags = flags;
    writer.add_stream(key, record);
  }
  // `picked | others that are judged`
  std::string pick(std::optional<OriginRef> pinned = std::nullopt) const {
    std::vector<weir::route::StreamKey> names;
    for (const char* name : {"v/a/s", "v/b/s", "v/c/s"}) names.push_back(parse_stream_key(name));
    const PickedStream picked = pick_stream(view, std::move(names), pinned);
    std::string out(picked.key.app());
    out += "|";
    for (const auto& also : picked.also) out += also.app();
    return out;
  }
};

}  // namespace

TEST_CASE("of streams that nobody knows the first counts, and all are judged") {
  World world;
  CHECK(world.pick() == "a|bc");
  CHECK(world.pick(world.origin()) == "a|bc");
}

TEST_CASE("one that is known comes before, and settles nothing") {
  World world;
  world.stream("v/b/s", world.origin(), 0);
  CHECK(world.pick() == "b|ac");
}

TEST_CASE("one that lives somewhere is the one, but for others of its origin") {
  World world;
  const OriginRef one = world.origin();
  const OriginRef two = world.origin();
  world.stream("v/a/s", one, 0);
  world.stream("v/b/s", two, 0, kLearned);
  CHECK(world.pick() == "b|");
  world.stream("v/c/s", two, 1);
  CHECK(world.pick() == "b|c");
}

TEST_CASE("a request with a hint is of what lives there") {
  World world;
  const OriginRef one = world.origin();
  const OriginRef two = world.origin();
  world.stream("v/a/s", one, 1);
  world.stream("v/c/s", two, 1);
  CHECK(world.pick() == "a|");
  CHECK(world.pick(one) == "a|");
  CHECK(world.pick(two) == "c|");
  // Where none lives: those that live elsewhere are not meant.
  CHECK(world.pick(world.origin()) == "a|b");
}

TEST_CASE("a single name is not looked up") {
  World world;
  std::vector<weir::route::StreamKey> names{parse_stream_key("v/a/s")};
  const PickedStream picked = pick_stream(world.view, std::move(names), std::nullopt);
  CHECK(picked.key.text == "v/a/s");
  CHECK(picked.also.empty());
}
