// Learning: how CPU time is shared out, and what a row says of a stream.
#include <doctest/doctest.h>

#include <cmath>

#include "workers/control/learner.h"

namespace weir::control {

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
