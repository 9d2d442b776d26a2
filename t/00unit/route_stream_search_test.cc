// Who is asked for an unknown stream, when, and what the answers mean together: by a clock that is
// turned here.
#include "common/route/stream_search.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "common/base/window_rate.h"
#include "common/route/recent_verdicts.h"

namespace {

using weir::WindowRate;
using weir::route::RecentVerdicts;
using weir::route::SearchVerdict;
using weir::route::SearchWord;
using weir::route::StreamSearch;

constexpr weir::route::SearchSettings kSettings{2, 100, 1000};

// All that next() gives at that time.
std::vector<std::size_t> asked(StreamSearch& search, std::uint64_t now) {
  std::vector<std::size_t> out;
  while (const auto candidate = search.next(now)) {
    search.note(*candidate, SearchWord::kSilent);
    out.push_back(*candidate);
  }
  return out;
}

using Numbers = std::vector<std::size_t>;

}  // namespace

TEST_CASE("search: some at once, the rest by delay or by a no") {
  StreamSearch search(kSettings, 5, 5, 1000);
  CHECK(asked(search, 1000) == Numbers{0, 1});
  CHECK(search.wake_ms() == 1100);
  CHECK(asked(search, 1099).empty());
  CHECK(asked(search, 1100) == Numbers{2});  // they take their time
  search.note(1, SearchWord::kNo);
  CHECK(asked(search, 1110).empty());  // still as many as may be
  search.note(0, SearchWord::kUnreachable);
  CHECK(asked(search, 1120) == Numbers{3});  // a place is free
  search.note(2, SearchWord::kYes);
  CHECK(search.verdict(1130).verdict == SearchVerdict::kFound);
  CHECK(search.verdict(1130).candidate == 2);
  CHECK(asked(search, 5000).empty());
}

TEST_CASE("search: those that are known not to show it come when the others are through") {
  StreamSearch search(kSettings, 1, 3, 1000);
  CHECK(asked(search, 1000) == Numbers{0});
  CHECK(asked(search, 1050).empty());
  search.note(0, SearchWord::kNo);
  CHECK(asked(search, 1060) == Numbers{1, 2});
  StreamSearch slow(kSettings, 1, 3, 1000);
  CHECK(asked(slow, 1000) == Numbers{0});
  CHECK(asked(slow, 1100) == Numbers{1});
  StreamSearch none(kSettings, 0, 2, 1000);
  CHECK(asked(none, 1000) == Numbers{0, 1});
}

TEST_CASE("search: verdicts") {
  using W = SearchWord;
  using V = SearchVerdict;
  struct Row {
    std::vector<W> words;
    V soon;  // when these have come
    V late;  // when time is up
    std::size_t candidate;
  };
  const Row rows[] = {
      {{W::kNo, W::kNo, W::kNo}, V::kNobody, V::kNobody, 2},
      {{W::kNo, W::kYes, W::kSilent}, V::kFound, V::kFound, 1},
      {{W::kYes, W::kYes, W::kNo}, V::kFound, V::kFound, 0},
      {{W::kNo, W::kSilent, W::kNo}, V::kOpen, V::kWait, 0},
      {{W::kUnreachable, W::kSilent, W::kNo}, V::kOpen, V::kWait, 0},
      {{W::kNo, W::kUnreachable, W::kNo}, V::kUnreachable, V::kUnreachable, 0},
      {{W::kNo, W::kTooLate, W::kNo}, V::kTooLate, V::kTooLate, 0},
      {{W::kNo, W::kDialing, W::kNo}, V::kOpen, V::kTooLate, 0},
      {{W::kNo, W::kUnasked, W::kNo}, V::kOpen, V::kTooLate, 0},
      {{W::kNo, W::kNotAsked, W::kNo}, V::kBound, V::kBound, 0},
      {{W::kNotAsked, W::kYes, W::kNo}, V::kFound, V::kFound, 1},
      {{W::kNo, W::kElse, W::kElse}, V::kElse, V::kElse, 1},
      {{W::kElse, W::kUnreachable, W::kNo}, V::kUnreachable, V::kUnreachable, 0},
      {{W::kDoubtful, W::kNo, W::kElse}, V::kFound, V::kFound, 0},
      {{W::kDoubtful, W::kNo, W::kSilent}, V::kOpen, V::kElse, 0},
      {{W::kDoubtful, W::kUnreachable, W::kNo}, V::kElse, V::kElse, 0},
      {{W::kDoubtful, W::kYes, W::kNo}, V::kFound, V::kFound, 1},
  };
  int number = 0;
  for (const Row& row : rows) {
    CAPTURE(number++);
    StreamSearch search(kSettings, 3, 3, 1000);
    for (std::size_t i = 0; i < row.words.size(); ++i) search.note(i, row.words[i]);
    CHECK(search.verdict(1500).verdict == row.soon);
    const StreamSearch::Result late = search.verdict(2000);
    CHECK(late.verdict == row.late);
    CHECK(late.candidate == row.candidate);
    if (row.late == V::kFound || row.late == V::kElse || row.late == V::kNobody) {
      CHECK(search.holds(late.candidate));
    }
  }
}

TEST_CASE("search: of equal answers one is kept") {
  StreamSearch search(kSettings, 4, 4, 1000);
  search.note(2, SearchWord::kNo);
  CHECK(search.holds(2));
  search.note(0, SearchWord::kNo);
  CHECK_FALSE(search.holds(2));
  CHECK(search.holds(0));
  search.note(3, SearchWord::kElse);
  search.note(1, SearchWord::kElse);
  CHECK(search.holds(3));
  CHECK_FALSE(search.holds(1));
}

TEST_CASE("window rate: never more in any stretch of time") {
  WindowRate rate(3, 1000);
  CHECK(rate.take(500));
  CHECK(rate.take(600));
  CHECK(rate.take(700));
  CHECK_FALSE(rate.take(1499));
  CHECK(rate.take(1500));
  CHECK_FALSE(rate.take(1599));
  CHECK(rate.take(1600));
  WindowRate none(0, 1000);
  CHECK_FALSE(none.take(1));
  WindowRate steady(50, 1000);
  int taken = 0;
  for (std::uint64_t ms = 1; ms <= 10000; ++ms) taken += steady.take(ms) ? 1 : 0;
  CHECK(taken == 500);
}

TEST_CASE("recent verdicts: for a time, and in bounded room") {
  RecentVerdicts recent({1, 2});
  recent.put("a", 0, 1000);
  recent.put("b", 7, 2000);
  CHECK(recent.find("a", 999) == 0U);
  CHECK_FALSE(recent.find("a", 1000));
  CHECK(recent.find("b", 1000) == 7U);
  CHECK_FALSE(recent.find("c", 0));
  recent.put("a", 3, 5000);
  CHECK(recent.find("a", 4000) == 3U);
  // A flood can only forget.
  for (int i = 0; i < 100000; ++i) recent.put("flood" + std::to_string(i), 0, 6000);
  std::size_t left = 0;
  for (int i = 0; i < 100000; ++i) left += recent.find("flood" + std::to_string(i), 0) ? 1U : 0U;
  CHECK(left <= 2048);
  CHECK(left > 1000);
}
