#include "common/base/host_name.h"

#include <doctest/doctest.h>

#include <string>

using namespace weir;

TEST_CASE("host names") {
  const std::string label(63, 'a');
  const std::string long_name = label + "." + label + "." + label + "." + std::string(61, 'b');
  for (const std::string& good :
       {std::string("a"), std::string("media-1.svc"), std::string("A_b.example.org."),
        std::string("1.2.3.4a"), std::string("10.example"), std::string("xn--bcher-kva.example"),
        label, long_name}) {
    CAPTURE(good);
    CHECK(is_host_name(good));
  }
  for (const std::string& bad : {std::string(),
                                 std::string("."),
                                 std::string("a..b"),
                                 std::string(".a"),
                                 std::string("-a"),
                                 std::string("a-"),
                                 std::string("a b"),
                                 std::string("a/b"),
                                 std::string("a:1"),
                                 std::string("1.2.3"),
                                 std::string("1.2.3.4.5"),
                                 std::string("256.1.1.1"),
                                 std::string("0x7f.1"),
                                 std::string("0x7f000001"),
                                 std::string("2130706433"),
                                 std::string("::1"),
                                 std::string("a%2e"),
                                 std::string("b\xC3\xBC.example"),
                                 std::string("a\0b", 3),
                                 label + "a",
                                 long_name + "b"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_host_name(bad));
  }
}

TEST_CASE("the names of an origin") {
  HostNames names;
  CHECK(names.count() == 0);
  CHECK(names.at(1).empty());
  CHECK(names.add("a.test") == 1);
  CHECK(names.add("b.test") == 2);
  CHECK(names.add("a.test") == 1);
  CHECK(names.add("") == 0);
  CHECK(names.add(std::string(250, 'c')) == 0);
  CHECK(names.add(std::string(200, 'c')) == 3);
  CHECK(names.add("d") == 4);
  CHECK(names.add("e") == 0);
  CHECK(names.count() == 4);
  CHECK(names.at(2) == "b.test");
  CHECK(names.at(0).empty());
  CHECK(names.at(5).empty());
  CHECK(names.at(255).empty());
  HostNames full;
  CHECK(full.add(std::string(253, 'x')) == 1);
  CHECK(full.add("yz") == 0);
  CHECK(full.add("y") == 2);
  HostNames hostile;
  for (char& c : hostile.text) c = 'x';  // no end
  CHECK(hostile.count() == 0);
}

TEST_CASE("endpoints of origins with names") {
  HostNames names;
  const Endpoint host = parse_origin_host("media-1.svc", names).value();
  CHECK(host.family == Family::kName);
  CHECK(host.is_host());
  struct Row {
    const char *text, *shown;
  };
  for (const Row& row : {Row{"1935", "media-1.svc:1935"},
                         {"rtmp://:1936", "media-1.svc:1936"},
                         {"rtmp://0.0.0.0:1937", "media-1.svc:1937"},
                         {"rtmps://other.test:443", "other.test:443"},
                         {"media-1.svc:8080", "media-1.svc:8080"},
                         {"10.0.0.1:1", "10.0.0.1:1"},
                         {"[fd00::1]:1", "[fd00::1]:1"}}) {
    CAPTURE(row.text);
    const auto endpoint = parse_origin_endpoint(row.text, host, &names);
    REQUIRE(endpoint.has_value());
    CHECK(to_string(*endpoint, names) == row.shown);
  }
  CHECK(names.count() == 2);
  for (const char* bad : {"a/b:1", "-a:1", "name", "name:", "name:0", "a:b:1", "http://[name]:1"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_origin_endpoint(bad, host, &names).has_value());
  }
  CHECK_FALSE(parse_origin_endpoint("name:1", parse_ip("10.0.0.1").value()).has_value());
}

TEST_CASE("name servers") {
  const auto list = parse_name_servers("10.0.0.1, 10.0.0.2:5353 [2001:db8::1]:54\t2001:db8::2");
  REQUIRE(list.has_value());
  REQUIRE(list->size() == 4);
  CHECK(to_string((*list)[0]) == "10.0.0.1:53");
  CHECK(to_string((*list)[1]) == "10.0.0.2:5353");
  CHECK(to_string((*list)[2]) == "[2001:db8::1]:54");
  CHECK(to_string((*list)[3]) == "[2001:db8::2]:53");
  CHECK(parse_name_servers("")->empty());
  for (const char* bad :
       {"dns.example", "53", ":53", "0.0.0.0", "10.0.0.1:0", "[::]:53", "224.0.0.1",
        "1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5 1.1.1.6 1.1.1.7 "
        "1.1.1.8 1.1.1.9"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_name_servers(bad).has_value());
  }
}
