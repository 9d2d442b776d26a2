// Hosts, authorities and origins of pages as they come, and the list of those that are known.
#include <doctest/doctest.h>

#include <string_view>

#include "common/base/host_list.h"

using namespace weir;

namespace {

HostList list_of(std::string_view text) {
  auto list = parse_host_list(text);
  REQUIRE(list.has_value());
  return *list;
}

bool has(const HostList& list, std::string_view host) {
  const auto authority = parse_authority(host);
  return authority && list.has(authority->host);
}

}  // namespace

TEST_CASE("authorities: every spelling of one host is one host") {
  CHECK(parse_authority("Weir.Example") == parse_authority("weir.example."));
  CHECK(parse_authority("[::1]:80") == parse_authority("[0:0:0:0:0:0:0:1]:80"));
  CHECK(parse_authority("[::ffff:127.0.0.1]") == parse_authority("127.0.0.1"));
  CHECK(parse_authority("a:080")->port == 80);
  CHECK(parse_authority("a:")->port == 0);
  CHECK(parse_authority("a:1") != parse_authority("a:2"));
  for (const std::string_view bad :
       {"",      ":80",        "a:0",        "a:65536", "a:x", "a:-1", "a:1:2",
        "[::1",  "[::1]x",     "[::1]:x",    "::1:80x", "a b", "a/b",  "user@a",
        "127.1", "0x7f.0.0.1", "2130706433", "a..b",    "-a",  "a,b"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_authority(bad).has_value());
  }
}

TEST_CASE("origins of pages") {
  CHECK(parse_page_origin("http://a") == parse_page_origin("http://A:80"));
  CHECK(parse_page_origin("https://a") == parse_page_origin("https://a:443"));
  CHECK(parse_page_origin("https://a:80") != parse_page_origin("http://a"));
  for (const std::string_view bad : {"", "null", "a", "file://", "ftp://a", "http://", "http:///",
                                     "http://a/", "http://a, http://a", "chrome-extension://abc"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_page_origin(bad).has_value());
  }
}

TEST_CASE("lists of hosts") {
  const HostList list =
      list_of("Weir.example, *.lab.example 10.1.2.3 [::2] https://ops.example:8443");
  for (const std::string_view host :
       {"weir.example:12025", "a.lab.example", "a.b.LAB.example.", "10.1.2.3", "[0::2]:1"}) {
    CAPTURE(host);
    CHECK(has(list, host));
  }
  for (const std::string_view host : {"lab.example", "xlab.example", "a.weir.example", "10.1.2.4",
                                      "[::1]", "ops.example", "localhost"}) {
    CAPTURE(host);
    CHECK_FALSE(has(list, host));
  }
  CHECK(list.has(*parse_page_origin("https://ops.example:8443")));
  CHECK_FALSE(list.has(*parse_page_origin("https://ops.example")));
  CHECK_FALSE(list.has(*parse_page_origin("http://weir.example")));
  CHECK(list_of(" ,\t").empty());
  CHECK_FALSE(list_of("http://a").empty());
  CHECK(has(list_of("*"), "evil.example"));
  CHECK_FALSE(list_of("*").has(*parse_page_origin("http://evil.example")));
  for (const std::string_view bad :
       {"a:80", "1.2.3.4:80", "[::1]:80", "*.", "*a", "a.*", "*.1.2.3.4", "http://", "https://a/b",
        "ws://a", "a/b", "10.0.0.0/8", "**"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_host_list(bad).has_value());
  }
}
