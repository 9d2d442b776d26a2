// Endpoints as text and as socket addresses.
#include <doctest/doctest.h>

#include <string>

#include "common/base/endpoint.h"

namespace {

std::string listen(std::string_view text) {
  const auto endpoint = weir::parse_listen(text);
  return endpoint ? to_string(*endpoint) : "error";
}

std::string origin(std::string_view text, std::string_view ip = "10.0.0.7") {
  const auto endpoint = weir::parse_origin_endpoint(text, *weir::parse_ip(ip));
  if (!endpoint) return "error";
  return std::string(to_string(endpoint->scheme)) + "|" + to_string(*endpoint);
}

}  // namespace

TEST_CASE("endpoint: listen values") {
  CHECK(listen("1935") == "0.0.0.0:1935");
  CHECK(listen(":1935") == "0.0.0.0:1935");
  CHECK(listen("127.0.0.1:1935") == "127.0.0.1:1935");
  CHECK(listen("[::1]:1935") == "[::1]:1935");
  for (const char* bad : {"", "0", "65536", "-1", "1935x", "host:1935", "::1:1935", "[::1]",
                          "[::1]1935", "[127.0.0.1]:1", "1.2.3:1", "1.2.3.4:", "1.2.3.4:99999",
                          "[fe80::1%eth0]:1", " 1935", "1935 "}) {
    CAPTURE(bad);
    CHECK(listen(bad) == "error");
  }
}

TEST_CASE("endpoint: what an origin registers") {
  CHECK(origin("1935") == "|10.0.0.7:1935");
  CHECK(origin("rtmp://1.2.3.4:1935") == "rtmp|1.2.3.4:1935");
  CHECK(origin("rtmp://:1935") == "rtmp|10.0.0.7:1935");
  CHECK(origin("udp://0.0.0.0:8000") == "udp|10.0.0.7:8000");
  CHECK(origin("tcp://[::]:8000", "2001:db8::1") == "tcp|[2001:db8::1]:8000");
  CHECK(origin("rtmps://[2001:db8::2]:443") == "rtmps|[2001:db8::2]:443");
  CHECK(origin("1935", "[2001:db8::1]") == "|[2001:db8::1]:1935");
  for (const char* bad : {"", "gopher://1.2.3.4:70", "rtmp://", "rtmp://host:1", "rtmp://1.2.3.4",
                          "://1.2.3.4:1", "2001:db8::1:1935", "rtmp://1.2.3.4:1935/live"}) {
    CAPTURE(bad);
    CHECK(origin(bad) == "error");
  }
}

TEST_CASE("endpoint: socket addresses and back") {
  for (const char* text : {"1.2.3.4:5", "[2001:db8::1]:65535"}) {
    sockaddr_storage address;
    const auto endpoint = *weir::parse_listen(text);
    CHECK(to_sockaddr(endpoint, address) > 0);
    CHECK(weir::from_sockaddr(address) == endpoint);
  }
  sockaddr_storage mapped;
  to_sockaddr(*weir::parse_listen("[::ffff:1.2.3.4]:5"), mapped);
  CHECK(to_string(weir::from_sockaddr(mapped)) == "1.2.3.4:5");
  sockaddr_storage none;
  CHECK(to_sockaddr(weir::Endpoint{}, none) == 0);
  CHECK(weir::parse_ip("127.1.2.3")->is_loopback());
  CHECK(weir::parse_ip("::1")->is_loopback());
  CHECK_FALSE(weir::parse_ip("10.0.0.1")->is_loopback());
}
