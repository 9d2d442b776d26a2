#include "workers/core/name_record.h"

#include <doctest/doctest.h>

#include "common/base/host_name.h"

using namespace weir;

namespace {

constexpr NameSettings kSettings{1000, 60000, 3600000};
constexpr std::size_t kV4 = 0;
constexpr std::size_t kV6 = 1;

Endpoint ip(std::string_view text) {
  return parse_ip(text).value();
}

}  // namespace

TEST_CASE("name record: an answer counts for its TTL within bounds") {
  struct Row {
    std::uint64_t ttl_ms, counts_ms;
  };
  for (const Row& row : {Row{0, 1000}, {5000, 5000}, {86400000, 60000}}) {
    NameRecord record(kSettings, 100);
    CHECK(record.due_ms(kV4) == 100);
    CHECK(record.fault() == NameFault::kNone);
    CHECK(record.answered(kV4, {ip("10.0.0.1")}, row.ttl_ms, 200));
    CHECK(record.due_ms(kV4) == 200 + row.counts_ms);
    CHECK(record.due_ms(kV6) == 100);
    CHECK(record.expires_ms() == 200 + row.counts_ms + 3600000);
  }
}

TEST_CASE("name record: both families in one list, IPv4 first, whoever answers first") {
  NameRecord record(kSettings, 0);
  CHECK(record.answered(kV6, {ip("2001:db8::1")}, 5000, 0));
  CHECK(record.addresses().size() == 1);
  CHECK(record.answered(kV4, {ip("10.0.0.1")}, 5000, 0));
  CHECK(record.addresses() == std::vector<Endpoint>{ip("10.0.0.1"), ip("2001:db8::1")});
}

TEST_CASE("name record: rotated answers change nothing, another set does") {
  NameRecord record(kSettings, 0);
  record.answered(kV4, {ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.3")}, 5000, 0);
  CHECK_FALSE(record.answered(kV4, {ip("10.0.0.3"), ip("10.0.0.1"), ip("10.0.0.2")}, 5000, 10));
  CHECK(record.addresses().front() == ip("10.0.0.1"));
  CHECK(record.answered(kV4, {ip("10.0.0.2"), ip("10.0.0.4"), ip("10.0.0.3")}, 5000, 20));
  CHECK(record.addresses().front() == ip("10.0.0.2"));
}

TEST_CASE("name record: failures keep what was known until it is stale") {
  for (const NameFault fault :
       {NameFault::kNotFound, NameFault::kNoData, NameFault::kServer, NameFault::kTimeout}) {
    CAPTURE(to_string(fault));
    NameRecord record(kSettings, 0);
    record.answered(kV4, {ip("10.0.0.1")}, 1000, 0);
    record.failed(kV6, NameFault::kNoData, 0);
    CHECK_FALSE(record.failed(kV4, fault, 1000));
    CHECK(record.addresses().size() == 1);
    CHECK(record.due_ms(kV4) == 2000);
    CHECK_FALSE(record.absent());
    CHECK(record.fault() == fault);
    CHECK_FALSE(record.expire(3600999));
    CHECK(record.expire(3601000));
    CHECK(record.addresses().empty());
    CHECK(record.absent() == (fault == NameFault::kNotFound || fault == NameFault::kNoData));
  }
}

TEST_CASE("name record: failures are repeated after 1, 2, 4, 8, 8 s") {
  NameRecord record(kSettings, 0);
  std::uint64_t now = 0;
  for (const std::uint64_t wait : {1000U, 2000U, 4000U, 8000U, 8000U}) {
    record.failed(kV4, NameFault::kTimeout, now);
    CHECK(record.due_ms(kV4) == now + wait);
    now += wait;
  }
  record.answered(kV4, {ip("10.0.0.1")}, 5000, now);
  record.failed(kV4, NameFault::kTimeout, now + 5000);
  CHECK(record.due_ms(kV4) == now + 6000);
}

TEST_CASE("name record: a name without addresses of a family, and one that moves to the other") {
  NameRecord record(kSettings, 0);
  CHECK_FALSE(record.failed(kV6, NameFault::kNoData, 0));
  CHECK(record.due_ms(kV6) == 60000);
  CHECK(record.answered(kV4, {ip("10.0.0.1")}, 1000, 0));
  CHECK(record.fault() == NameFault::kNone);
  CHECK(record.answered(kV6, {ip("2001:db8::1")}, 30000, 60000));
  CHECK(record.failed(kV4, NameFault::kNoData, 61000));
  CHECK(record.addresses() == std::vector<Endpoint>{ip("2001:db8::1")});
}

TEST_CASE("name record: absence is told once, as soon as both families are known to be empty") {
  NameRecord record(kSettings, 0);
  CHECK_FALSE(record.failed(kV4, NameFault::kNotFound, 0));
  CHECK(record.failed(kV6, NameFault::kNotFound, 0));
  CHECK(record.absent());
  CHECK_FALSE(record.failed(kV6, NameFault::kNotFound, 1000));
  CHECK(record.failed(kV6, NameFault::kTimeout, 2000));
  CHECK_FALSE(record.absent());
}
