// The master's book of streams that others than its publishers speak of: origins' own APIs, and
// players who searched.
#include "doctest/doctest.h"
#include "t/00unit/supervisor_registry_support.h"

namespace weir {
namespace {

using ipc::EndpointKind;
using ipc::OriginRef;
using ipc::Role;
using ipc::RouteStatus;
using ipc::SessionEndReason;
using test::Rig;

constexpr const char* kKey = "v/live/cam";

struct Learned : Rig {
  OriginRef a = add("a", 1935);
  OriginRef b = add("b", 1936);

  template <typename Message>
  static Message about(OriginRef at, const std::string& key) {
    Message message;
    message.origin = at;
    message.key.assign(key);
    return message;
  }
  void learn(OriginRef at, const std::string& key = kKey, std::uint32_t kbps = 900) {
    auto message = about<ipc::StreamLearned>(at, key);
    message.facts = {kbps, ipc::VideoCodec::kH264, ipc::AudioCodec::kAac};
    registry.learn_stream(message, now);
  }
  void unlearn(OriginRef at, const std::string& key = kKey) {
    registry.unlearn_stream(about<ipc::StreamUnlearned>(at, key), now);
  }
  void say(OriginRef at, ipc::LearnState state) {
    ipc::OriginLearn message;
    message.origin = at;
    message.api = ipc::LearnApi::kSrs;
    message.state = state;
    registry.note_learn(message, now);
  }
  void find(OriginRef at, const std::string& key = kKey) {
    registry.note_found(about<ipc::StreamFound>(at, key), now);
  }
  OriginRef where(const std::string& key = kKey) const {
    const ipc::StreamHead row = stream(key);
    return {row.origin_slot, row.origin_generation};
  }
  std::uint32_t learned() const { return writer.header().streams_learned.load(); }
  std::uint32_t conflicts() const { return writer.header().conflicts_now.load(); }
};

}  // namespace

TEST_CASE_FIXTURE(Learned, "a learned stream is where its origin shows it, for every role") {
  learn(b);
  CHECK(hit(kKey, Role::kPlayer) == b);
  CHECK(hit(kKey, Role::kPublisher) == b);
  CHECK(stream(kKey).has(ipc::kLearned));
  CHECK(stream(kKey).facts.kbps == 900);
  CHECK(learned() == 1);
  // It is nowhere else: who cannot be served there is told so.
  fail(b, 5);
  CHECK(ask(kKey, Role::kPlayer, {b}).status == RouteStatus::kStreamElsewhere);
  CHECK(hit(kKey, Role::kPlayer) == b);
  pass(1000 * config.stream_idle_timeout);
  CHECK(known(kKey));
  unlearn(a);  // who never had it has no say
  CHECK(stream(kKey).has(ipc::kLearned));
  unlearn(b);
  CHECK_FALSE(stream(kKey).has(ipc::kLearned));
  CHECK(stream(kKey).facts == ipc::StreamFacts{});
  CHECK(learned() == 0);
  pass(config.stream_idle_timeout + 1);
  CHECK_FALSE(known(kKey));
}

TEST_CASE_FIXTURE(Learned, "what is published through Weir wins over what is learned") {
  open(1, kKey, Role::kPublisher, a);
  learn(b);
  CHECK(where() == a);
  CHECK(conflicts() == 1);
  CHECK(writer.header().stream_conflicts.load() == 1);
  learn(b);  // again and again: one conflict
  CHECK(writer.header().stream_conflicts.load() == 1);
  learn(a);  // the same publisher, seen from outside
  CHECK(stream(kKey).has(ipc::kLearned));
  close(1);
  CHECK(where() == a);
  unlearn(a);  // and the other has it at once
  CHECK(where() == b);
  CHECK(stream(kKey).has(ipc::kLearned));
  CHECK(conflicts() == 0);
  open(2, kKey, Role::kPublisher, a);  // it really arrived there
  CHECK(where() == a);
  CHECK(stream(kKey).publishers == 1);
  CHECK(learned() == 0);
}

TEST_CASE_FIXTURE(Learned, "of two origins the first has the stream until it shows it no longer") {
  learn(a);
  learn(b);
  CHECK(where() == a);
  CHECK(conflicts() == 1);
  SUBCASE("the second one ends") {
    unlearn(b);
    CHECK(where() == a);
    CHECK(conflicts() == 0);
  }
  SUBCASE("the first one ends") {
    unlearn(a);
    CHECK(where() == b);
    CHECK(conflicts() == 0);
    CHECK(learned() == 1);
  }
  SUBCASE("the first one's API fails") {
    say(a, ipc::LearnState::kFresh);
    say(a, ipc::LearnState::kFailing);
    CHECK(where() == b);
    CHECK(learned() == 1);
  }
  SUBCASE("the first one is removed") {
    ipc::OriginCommand remove;
    remove.origin = a;
    remove.action = ipc::OriginAction::kRemove;
    registry.origins().command(remove);
    CHECK_FALSE(known(kKey));
    CHECK(learned() == 0);
    CHECK(conflicts() == 0);
    learn(b);
    CHECK(where() == b);
  }
}

TEST_CASE_FIXTURE(Learned, "a stream moves with its publisher, behind Weir's back") {
  learn(a);
  open(1, kKey, Role::kPlayer, a);
  unlearn(a);
  CHECK(where() == a);  // it may come back there
  learn(b);
  CHECK(where() == b);
  CHECK(hit(kKey, Role::kPlayer) == b);
  CHECK(stream(kKey).players == 0);
}

TEST_CASE_FIXTURE(Learned,
                  "players who wait where it is not are ended when it comes up elsewhere") {
  open(1, kKey, Role::kPlayer, a);
  open(2, "v/live/other", Role::kPlayer, a);
  CHECK(registry.take_ends().empty());
  SUBCASE("learned, and nobody knows whether it is where they are") {
    learn(b);
    const auto ends = registry.take_ends();
    REQUIRE(ends.size() == 1);
    CHECK(ends[0].end.session == 1);
    CHECK(ends[0].end.reason == SessionEndReason::kMovedIfSilent);
    CHECK(registry.take_ends().empty());
  }
  SUBCASE("learned, and their origin is known not to have it") {
    say(a, ipc::LearnState::kFresh);
    learn(b);
    const auto ends = registry.take_ends();
    REQUIRE(ends.size() == 1);
    CHECK(ends[0].end.reason == SessionEndReason::kMoved);
  }
  SUBCASE("published through Weir") {
    open(3, kKey, Role::kPublisher, b);
    const auto ends = registry.take_ends();
    REQUIRE(ends.size() == 1);
    CHECK(ends[0].end.session == 1);
    CHECK(where() == b);
  }
  SUBCASE("found by who searched") {
    find(b);
    CHECK(registry.take_ends().size() == 1);
    CHECK(where() == b);
  }
  SUBCASE("published through Weir, while their origin shows it, too: who has media goes on") {
    say(a, ipc::LearnState::kFresh);
    learn(a);
    open(3, kKey, Role::kPublisher, b);
    const auto ends = registry.take_ends();
    REQUIRE(ends.size() == 1);
    CHECK(ends[0].end.reason == SessionEndReason::kMovedIfSilent);
    CHECK(where() == b);
  }
  SUBCASE("where they are: nobody is ended") {
    learn(a);
    open(3, kKey, Role::kPublisher, a);
    CHECK(registry.take_ends().empty());
  }
  SUBCASE("an ejection moves it: they may be watching") {
    fail(a, 5);
    ask(kKey, Role::kPublisher, {a});
    CHECK(registry.take_ends().empty());
  }
}

TEST_CASE_FIXTURE(Learned,
                  "what was found by a search is remembered, and moves nothing that is held") {
  find(b);
  CHECK(hit(kKey, Role::kPlayer) == b);
  CHECK(stream(kKey).has(ipc::kSearched));
  learn(a);
  CHECK(where() == a);
  find(b);
  CHECK(where() == a);
  open(1, "v/live/two", Role::kPublisher, a);
  find(b, "v/live/two");
  CHECK(where("v/live/two") == a);
}

TEST_CASE_FIXTURE(Learned, "an API that fails proves nothing: its streams are only remembered") {
  say(a, ipc::LearnState::kFresh);
  learn(a);
  learn(a, "v/live/two");
  say(a, ipc::LearnState::kFailing);
  CHECK(learned() == 0);
  CHECK(where() == a);
  fail(a, 5);
  CHECK(place(kKey, Role::kPlayer, {a}) == b);
  CHECK(origin(a).learn_state == ipc::LearnState::kFailing);
}

TEST_CASE_FIXTURE(Learned, "learned streams leave an eighth of the table free") {
  const std::uint32_t capacity = writer.header().stream_capacity;
  for (std::uint32_t i = 0; i < 2 * capacity; ++i) learn(a, "v/live/s" + std::to_string(i));
  CHECK(writer.header().streams_used.load() == capacity - capacity / 8);
  CHECK(learned() == capacity - capacity / 8);
  CHECK(place("v/live/mine", Role::kPublisher).slot != ipc::kNoSlot);
  for (std::uint32_t i = 0; i < 2 * capacity; ++i) unlearn(a, "v/live/s" + std::to_string(i));
  CHECK(learned() == 0);
}

TEST_CASE_FIXTURE(Learned,
                  "messages of a worker that was taken over change nothing they must not") {
  learn({99, 1});
  learn({a.slot, a.generation + 1});
  learn(a, "");
  find({99, 1});
  say({99, 1}, ipc::LearnState::kFresh);
  ipc::OriginLearn odd;
  odd.origin = a;
  odd.state = static_cast<ipc::LearnState>(77);
  registry.note_learn(odd, now);
  CHECK(origin(a).learn_state == ipc::LearnState::kUnknown);
  CHECK(writer.header().streams_used.load() == 0);
}

}  // namespace weir
