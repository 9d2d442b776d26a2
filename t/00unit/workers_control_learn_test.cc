// Learning: how CPU time is shared out, and what a row says of a stream.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "ipc/state_writer.h"
#include "workers/control/learner.h"

namespace weir::control {
namespace {

template <typename T>
T checked(Result<T> result) {
  REQUIRE(result.has_value());
  return std::move(*result);
}

// One origin's book, and a master that puts what it is told into the table.
struct World {
  explicit World(const std::vector<std::string>& rule = {}) {
    if (!rule.empty()) {
      const std::vector<std::string> to(rule.begin() + 1, rule.end());
      const route::AliasText text{rule[0], to};
      aliases = checked(route::Aliases::make({&text, 1}));
    }
  }
  // `names` of streams of app `a`; what was told of it: `+key`, `-key`, in order.
  std::string answer(const std::vector<std::string>& names, LearnBook::Proof proof) {
    told.clear();
    book.begin_answer();
    for (const std::string& name : names) {
      origin_api::StreamRow row;
      row.app = "a";
      row.name = name;
      row.bits_per_second = name.size() * 1'000'000;
      CHECK(book.take(row));
    }
    book.end_answer(proof);
    return told;
  }
  bool put(std::string_view sign, std::string_view key, const ipc::StreamFacts& facts) {
    told.append(sign).append(key.substr(key.find('/') + 3)).append(" ");
    ipc::StreamHead head{};
    const std::uint32_t slot = view.find_slot(key, head);
    if (sign == "-") {
      writer.erase_stream(slot);
      return true;
    }
    head.origin_slot = origin.slot;
    head.origin_generation = origin.generation;
    head.flags = ipc::kLearned;
    head.facts = facts;
    if (slot == ipc::kNoSlot) return writer.add_stream(key, head) != ipc::kNoSlot;
    writer.put_stream(slot, head);
    return true;
  }

  ipc::StateWriter writer = checked(ipc::StateWriter::make({4, 16}));
  ipc::StateView view = checked(ipc::StateView::map(writer.state_fd()));
  ipc::OriginRef origin{1, 1};
  route::Aliases aliases;
  std::string told;
  LearnSend send{
      [this](ipc::StreamLearned& message) { return put("+", message.key.view(), message.facts); },
      [this](ipc::StreamUnlearned& message) { return put("-", message.key.view(), {}); }};
  LearnBook book{view, send, origin, aliases};
};

}  // namespace

TEST_CASE("learning: only news is told, and what an answer proves gone") {
  using Proof = LearnBook::Proof;
  World world;
  CHECK(world.answer({"x", "y", "z"}, Proof::kGone) == "+x +y +z ");
  CHECK(world.answer({"x", "y", "z"}, Proof::kGone).empty());
  CHECK(world.answer({"x", "y"}, Proof::kGone) == "-z ");
  CHECK(world.answer({"x", "y", "w"}, Proof::kGone) == "+w ");
  CHECK(world.answer({"x", "y"}, Proof::kGone) == "-w ");  // shown once
  CHECK(world.answer({"x"}, Proof::kNothing).empty());
  // Pages: two in a row, and an answer that proves nothing between them changes nothing.
  CHECK(world.answer({"x"}, Proof::kSuspect).empty());
  CHECK(world.answer({}, Proof::kNothing).empty());
  CHECK(world.answer({"x"}, Proof::kSuspect) == "-y ");
  CHECK(world.answer({}, Proof::kSuspect).empty());
  CHECK(world.answer({"x"}, Proof::kSuspect).empty());
  CHECK(world.answer({}, Proof::kSuspect).empty());
  CHECK(world.answer({}, Proof::kSuspect) == "-x ");
}

TEST_CASE("learning: of renditions that are one stream the first one counts") {
  using Proof = LearnBook::Proof;
  World world({"/a/[stream](_low|_high)", "/a/[stream]"});
  CHECK(world.answer({"s"}, Proof::kGone) == "+s ");
  CHECK(world.answer({"s_high", "s", "s_low"}, Proof::kGone) == "+s ");  // another bit rate
  CHECK(world.answer({"s_high", "s", "s_low"}, Proof::kGone).empty());
  CHECK(world.answer({"s", "s_high", "s_low"}, Proof::kGone) == "+s ");
  CHECK(world.answer({"s", "s_high", "s_low"}, Proof::kGone).empty());
  CHECK(world.answer({}, Proof::kGone) == "-s ");
}

TEST_CASE("learning: only those that cost more than their share are asked less often") {
  CHECK(std::isinf(fair_share({}, 0.02)));
  CHECK(std::isinf(fair_share({0.005, 0.01}, 0.02)));
  CHECK(fair_share({0.1}, 0.02) == doctest::Approx(0.02));
  CHECK(fair_share({0.1, 0.1}, 0.02) == doctest::Approx(0.01));
  CHECK(fair_share({5.0, 0.001, 0.004}, 0.02) == doctest::Approx(0.015));
  // All together take the budget then.
  const std::vector<double> loads = {0.001, 0.02, 0.0005, 0.3, 0.007};
  const double share = fair_share(loads, 0.02);
  double sum = 0;
  for (const double load : loads) sum += std::min(load, share);
  CHECK(sum == doctest::Approx(0.02));
}

TEST_CASE("learning: facts of a row") {
  origin_api::StreamRow row;
  CHECK(facts_of(row) == ipc::StreamFacts{});
  row.video = "HEVC";
  row.audio = "Opus";
  row.bits_per_second = 2'500'999;
  const ipc::StreamFacts facts = facts_of(row);
  CHECK(facts.video == ipc::VideoCodec::kHevc);
  CHECK(facts.audio == ipc::AudioCodec::kOpus);
  CHECK(facts.kbps == 2500);
  row.video = row.audio = "Other";
  row.bits_per_second = UINT64_MAX;
  CHECK(facts_of(row).video == ipc::VideoCodec::kOther);
  CHECK(facts_of(row).audio == ipc::AudioCodec::kOther);
  CHECK(facts_of(row).kbps == UINT32_MAX);
}

}  // namespace weir::control
