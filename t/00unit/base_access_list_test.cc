// Access lists: the first rule that matches decides.
#include "common/base/access_list.h"

#include <doctest/doctest.h>

#include <string_view>

namespace weir {
namespace {

bool allows(std::string_view rules, std::string_view address) {
  const auto list = parse_access_list(rules);
  const auto client = parse_ip(address);
  REQUIRE(list);
  REQUIRE(client);
  return list->allows(*client);
}

}  // namespace

TEST_CASE("access list: the order counts, and without a match all are allowed") {
  CHECK(allows("", "192.0.2.1"));
  CHECK(allows("deny 10.0.0.0/8", "192.0.2.1"));
  CHECK_FALSE(allows("deny 10.0.0.0/8", "10.1.2.3"));
  CHECK_FALSE(allows("deny 10.0.0.0/8", "::ffff:10.1.2.3"));
  constexpr std::string_view kRules = "deny 10.1.2.3, allow 10.0.0.0/8 2001:db8::/32; deny all,";
  CHECK_FALSE(allows(kRules, "10.1.2.3"));
  CHECK(allows(kRules, "10.1.2.4"));
  CHECK(allows(kRules, "2001:db8::7"));
  CHECK_FALSE(allows(kRules, "2001:db9::7"));
  CHECK_FALSE(allows(kRules, "192.0.2.1"));
  CHECK(allows("allow all, deny 10.0.0.0/8", "10.1.2.3"));
}

TEST_CASE("access list: faults") {
  CHECK(parse_access_list(" , ; ")->empty());
  for (const std::string_view bad :
       {"10.0.0.0/8", "allow", "deny ", "allow 10.0.0.0/33", "permit all", "allow all deny all",
        "Allow all", "deny example.org"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_access_list(bad));
  }
}

}  // namespace weir
