// Networks: what contains what, and texts that aren't networks.
#include <doctest/doctest.h>

#include "common/base/network.h"

namespace weir {
namespace {

Endpoint ip(std::string_view text) {
  const auto endpoint = parse_ip(text);
  REQUIRE(endpoint);
  return *endpoint;
}

}  // namespace

TEST_CASE("network: contains") {
  struct Row {
    const char* network;
    const char* inside;
    const char* outside;
  };
  const Row rows[] = {
      {"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
      {"10.1.2.3/8", "10.0.0.0", "9.255.255.255"},
      {"192.0.2.4/30", "192.0.2.7", "192.0.2.8"},
      {"192.0.2.4/31", "192.0.2.5", "192.0.2.6"},
      {"192.0.2.4", "192.0.2.4", "192.0.2.5"},
      {"0.0.0.0/0", "255.1.2.3", "::1"},
      {"::1", "::1", "::2"},
      {"[::1]", "::1", "127.0.0.1"},
      {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"},
      {"::/0", "fe80::1", "1.2.3.4"},
      {"::ffff:10.0.0.0/104", "10.1.1.1", "11.1.1.1"},
      {"10.0.0.0/8", "::ffff:10.9.9.9", "::ffff:11.9.9.9"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.network);
    const auto network = parse_network(row.network);
    REQUIRE(network);
    CHECK(network->contains(ip(row.inside)));
    CHECK_FALSE(network->contains(ip(row.outside)));
    CHECK_FALSE(network->contains(Endpoint{}));
    CHECK(parse_network(to_string(*network)) == *network);
  }
}

TEST_CASE("network: every prefix length") {
  for (unsigned prefix = 0; prefix <= 128; ++prefix) {
    const auto network = parse_network("ffff:ffff::1/" + std::to_string(prefix));
    REQUIRE(network);
    for (unsigned bit = 0; bit < 128; ++bit) {
      Endpoint other = ip("ffff:ffff::1");
      other.ip[bit / 8] ^= static_cast<std::uint8_t>(0x80U >> (bit % 8));
      CHECK(network->contains(other) == (bit >= prefix));
    }
  }
}

TEST_CASE("network: faults") {
  for (const char* text : {"", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0/8",
                           "::/129", "name", "/8", "10.0.0.0/8/8", "::ffff:10.0.0.0/95"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_network(text));
  }
}

TEST_CASE("network: lists") {
  const auto list = parse_networks(" 10.0.0.0/8,192.0.2.1\t::1 ");
  REQUIRE(list);
  CHECK(list->networks().size() == 3);
  CHECK(list->contains(ip("192.0.2.1")));
  CHECK_FALSE(list->contains(ip("192.0.2.2")));
  CHECK(parse_networks("")->empty());
  CHECK(parse_networks("private loopback")->contains(ip("172.31.0.1")));
  CHECK(parse_networks("loopback")->contains(ip("127.9.9.9")));
  CHECK(parse_networks("all")->contains(ip("2001:db8::1")));
  CHECK_FALSE(parse_networks("10.0.0.0/8, nonsense"));
}

}  // namespace weir
