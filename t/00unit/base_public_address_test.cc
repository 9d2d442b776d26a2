#include <doctest/doctest.h>

#include "common/base/public_address.h"

using namespace weir;
using Kind = PublicAddress::Kind;

TEST_CASE("public addresses: lists of addresses, names and auto") {
  const auto list = parse_public_addresses(
      "203.0.113.7, 203.0.113.7:8000\t[2001:db8::7]:8000 2001:db8::7 media.example.org "
      "media.example.org:443 auto *");
  REQUIRE(list.has_value());
  REQUIRE(list->size() == 8);
  const auto text = [&](std::size_t i) { return to_string((*list)[i].address); };
  CHECK(text(0) == "203.0.113.7:0");
  CHECK(text(1) == "203.0.113.7:8000");
  CHECK(text(2) == "[2001:db8::7]:8000");
  CHECK(text(3) == "[2001:db8::7]:0");
  CHECK((*list)[4] == PublicAddress{Kind::kName, {}, "media.example.org", 0});
  CHECK((*list)[5] == PublicAddress{Kind::kName, {}, "media.example.org", 443});
  CHECK((*list)[6].kind == Kind::kAuto);
  CHECK((*list)[7].kind == Kind::kAuto);
  CHECK(parse_public_addresses("").value().size() == 1);
  CHECK(parse_public_addresses(" , ").value().front().kind == Kind::kAuto);
}

TEST_CASE("public addresses: what is neither is a fault that names it") {
  for (const std::string_view bad :
       {"1.2.3", "1.2.3.256", "1.2.3.4:0", "1.2.3.4:70000", "name:", ":8000", "-x", "a b/c",
        "2001:db8::7::1", "na%me", "1.2.3.4:80:90"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_public_addresses(bad).has_value());
  }
  std::string many;
  for (int i = 0; i < 17; ++i) many += "auto ";
  CHECK_FALSE(parse_public_addresses(many).has_value());
}
