#include "common/base/log_budget.h"

#include <doctest/doctest.h>

using weir::LogBudget;

TEST_CASE("log budget") {
  LogBudget budget(2);
  std::uint64_t suppressed = 9;
  CHECK(budget.take(1000, suppressed));
  CHECK(suppressed == 0);
  CHECK(budget.take(1500, suppressed));
  CHECK_FALSE(budget.take(1999, suppressed));
  CHECK_FALSE(budget.take(1999, suppressed));
  CHECK(budget.take(2000, suppressed));
  CHECK(suppressed == 2);
}

TEST_CASE("a line an interval, from the first one on") {
  LogBudget budget(1, 10000);
  std::uint64_t suppressed = 9;
  CHECK(budget.take(7000, suppressed));
  CHECK_FALSE(budget.take(10000, suppressed));
  CHECK_FALSE(budget.take(16999, suppressed));
  CHECK(budget.take(17000, suppressed));
  CHECK(suppressed == 2);
}
