// The table of connections and the drain of the TCP workers.
#include "workers/core/tcp_worker.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace {

using namespace weir;

struct Entry {
  SessionId id = 0;
  std::uint32_t generation = 0;
  bool used = false;
  std::shared_ptr<int> owned;
};

TEST_CASE("an entry is used again, and old handles of it are not") {
  ConnTable<Entry> table;
  const std::uint32_t first = table.take(7);
  const std::uint32_t second = table.take(8);
  const auto owned = std::make_shared<int>(1);
  table[first].owned = owned;
  const std::uint32_t generation = table[first].generation;
  CHECK(table.active() == 2);
  CHECK(table.valid(first, generation));
  CHECK(table.find(8) == second);

  table.release(first);
  CHECK(owned.use_count() == 1);
  CHECK(table.active() == 1);
  CHECK_FALSE(table.valid(first, generation));
  CHECK_FALSE(table.valid(first, generation + 1));
  CHECK(table.find(7) == table.size());

  CHECK(table.take(9) == first);
  CHECK_FALSE(table.valid(first, generation));
  CHECK(table.valid(first, generation + 1));
  CHECK_FALSE(table.valid(2, 0));
  CHECK(table.find(7) == table.size());
  CHECK(table.find(9) == first);
}

TEST_CASE("a drain begins once and takes the latest deadline") {
  Drain drain;
  CHECK_FALSE(drain.begun());
  CHECK_FALSE(drain.overdue(1000, 1));
  CHECK(drain.begin(0, 3));
  CHECK(drain.begun());
  CHECK_FALSE(drain.overdue(1000000, 3));
  CHECK_FALSE(drain.begin(500, 3));
  CHECK_FALSE(drain.overdue(499, 3));
  CHECK_FALSE(drain.overdue(500, 0));
  CHECK(drain.overdue(500, 1));
}

TEST_CASE("why a relay ended is why its session did") {
  CHECK(to_string(reason_of(RelayEnd::kClientClosed)) == "client_closed");
  CHECK(to_string(reason_of(RelayEnd::kOriginClosed)) == "origin_closed");
  CHECK(to_string(reason_of(RelayEnd::kIdle)) == "idle_timeout");
  CHECK(to_string(reason_of(RelayEnd::kStalled)) == "stalled");
  CHECK(to_string(reason_of(RelayEnd::kUnwatched)) == "error");
}

}  // namespace
