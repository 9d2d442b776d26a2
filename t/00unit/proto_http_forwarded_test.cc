// Who the client is: trusted and other peers, forged fields, IPv6, and what origins are told.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/proto/http/forwarded.h"
#include "common/proto/http/head_writer.h"

namespace weir::http {
namespace {

using Sent = std::vector<std::pair<HeaderId, std::string_view>>;

Endpoint ip(std::string_view text) {
  const auto endpoint = parse_ip(text);
  REQUIRE(endpoint);
  return *endpoint;
}

ClientIdentity identify(std::string_view peer, const Sent& sent,
                        const ForwardedPolicy& policy = {}) {
  Fields fields;
  for (const auto& [id, value] : sent) fields.add(header_name(id), value);
  const auto trusted = parse_networks("10.0.0.0/8 fd00::/8");
  REQUIRE(trusted);
  return identify_client({ip(peer), false, "weir.example:18080"}, fields, *trusted, policy);
}

constexpr HeaderId kFor = HeaderId::kXForwardedFor;
constexpr HeaderId kProto = HeaderId::kXForwardedProto;
constexpr HeaderId kHost = HeaderId::kXForwardedHost;
constexpr HeaderId kPort = HeaderId::kXForwardedPort;

}  // namespace

TEST_CASE("forwarded: the client and its URL") {
  struct Row {
    const char* peer;
    Sent sent;
    const char* client;
    const char* base_url;
    const char* chain;
  };
  const char* const kOwn = "http://weir.example:18080";
  const Row rows[] = {
      {"192.0.2.1", {}, "192.0.2.1", kOwn, "192.0.2.1"},
      // Not trusted: nothing counts.
      {"192.0.2.1",
       {{kFor, "6.6.6.6"}, {kProto, "https"}, {kHost, "evil"}, {HeaderId::kXRealIp, "6.6.6.6"}},
       "192.0.2.1",
       kOwn,
       "192.0.2.1"},
      {"192.0.2.1",
       {{HeaderId::kForwarded, "for=6.6.6.6;proto=https"}},
       "192.0.2.1",
       kOwn,
       "192.0.2.1"},
      {"10.0.0.1", {{kFor, "192.0.2.1"}}, "192.0.2.1", kOwn, "192.0.2.1, 10.0.0.1"},
      {"::ffff:10.0.0.1", {{kFor, "192.0.2.1"}}, "192.0.2.1", kOwn, "192.0.2.1, 10.0.0.1"},
      // What the client wrote stands left of it, and goes no further.
      {"10.0.0.1",
       {{kFor, "6.6.6.6, 192.0.2.1, 10.0.0.2"}},
       "192.0.2.1",
       kOwn,
       "192.0.2.1, 10.0.0.2, 10.0.0.1"},
      {"10.0.0.1",
       {{kFor, "6.6.6.6"}, {kFor, "192.0.2.1"}},
       "192.0.2.1",
       kOwn,
       "192.0.2.1, 10.0.0.1"},
      {"10.0.0.1",
       {{kFor, "10.0.0.3, 10.0.0.2"}},
       "10.0.0.3",
       kOwn,
       "10.0.0.3, 10.0.0.2, 10.0.0.1"},
      {"10.0.0.1", {{kFor, "6.6.6.6, unknown"}}, "10.0.0.1", kOwn, "10.0.0.1"},
      {"10.0.0.1", {{kFor, "6.6.6.6, x, 10.0.0.2"}}, "10.0.0.2", kOwn, "10.0.0.2, 10.0.0.1"},
      {"10.0.0.1", {{kFor, ""}}, "10.0.0.1", kOwn, "10.0.0.1"},
      {"fd00::1", {{kFor, "2001:db8::7"}}, "2001:db8::7", kOwn, "2001:db8::7, fd00::1"},
      {"fd00::1", {{kFor, "[2001:db8::7]:99"}}, "2001:db8::7", kOwn, "2001:db8::7, fd00::1"},
      // Scheme, host, port.
      {"10.0.0.1",
       {{kProto, "https"}, {kHost, "live.example"}},
       "10.0.0.1",
       "https://live.example",
       "10.0.0.1"},
      {"10.0.0.1",
       {{kProto, "https"}, {kHost, "live.example"}, {kPort, "443"}},
       "10.0.0.1",
       "https://live.example",
       "10.0.0.1"},
      {"10.0.0.1",
       {{kProto, "https"}, {kHost, "live.example"}, {kPort, "8443"}},
       "10.0.0.1",
       "https://live.example:8443",
       "10.0.0.1"},
      {"10.0.0.1", {{kHost, "[::1]"}, {kPort, "81"}}, "10.0.0.1", "http://[::1]:81", "10.0.0.1"},
      {"10.0.0.1", {{kHost, "a:1"}, {kPort, "x"}}, "10.0.0.1", "http://a:1", "10.0.0.1"},
      // A port alone belongs to the name that the request was sent to.
      {"10.0.0.1", {{kPort, "8443"}}, "10.0.0.1", "http://weir.example:8443", "10.0.0.1"},
      {"10.0.0.1",
       {{kProto, "https"}, {kPort, "443"}},
       "10.0.0.1",
       "https://weir.example",
       "10.0.0.1"},
      {"10.0.0.1",
       {{kFor, "192.0.2.1"}, {kPort, "80"}},
       "192.0.2.1",
       "http://weir.example",
       "192.0.2.1, 10.0.0.1"},
      {"10.0.0.1", {{kPort, "0"}}, "10.0.0.1", kOwn, "10.0.0.1"},
      {"10.0.0.1", {{kPort, "65536"}}, "10.0.0.1", kOwn, "10.0.0.1"},
      {"10.0.0.1", {{kHost, "a:1"}, {kPort, "81"}}, "10.0.0.1", "http://a:1", "10.0.0.1"},
      {"192.0.2.1", {{kPort, "8443"}}, "192.0.2.1", kOwn, "192.0.2.1"},
      {"10.0.0.1", {{kProto, "wss"}}, "10.0.0.1", "https://weir.example:18080", "10.0.0.1"},
      {"10.0.0.1", {{kProto, "gopher"}, {kHost, "a/b"}}, "10.0.0.1", kOwn, "10.0.0.1"},
      // Each proxy appends: the value beside the client's address.
      {"10.0.0.1",
       {{kFor, "6.6.6.6, 192.0.2.1, 10.0.0.2"}, {kProto, "http, https, http"}},
       "192.0.2.1",
       "https://weir.example:18080",
       "192.0.2.1, 10.0.0.2, 10.0.0.1"},
      {"10.0.0.1",
       {{kFor, "192.0.2.1, 10.0.0.2"}, {kProto, "http, http, https"}},
       "192.0.2.1",
       "https://weir.example:18080",
       "192.0.2.1, 10.0.0.2, 10.0.0.1"},
      // Forwarded.
      {"10.0.0.1",
       {{HeaderId::kForwarded,
         "for=6.6.6.6;proto=http;host=evil, For=\"[2001:db8::7]:4711\";"
         "Proto=https;HOST=\"a.example:8443\", for=10.0.0.2"}},
       "2001:db8::7",
       "https://a.example:8443",
       "2001:db8::7, 10.0.0.2, 10.0.0.1"},
      {"10.0.0.1",
       {{HeaderId::kForwarded, "for=6.6.6.6, for=_hidden;proto=https;host=a"}},
       "10.0.0.1",
       "https://a",
       "10.0.0.1"},
      {"10.0.0.1", {{HeaderId::kForwarded, "for=192.0.2.1;proto"}}, "10.0.0.1", kOwn, "10.0.0.1"},
      // Precedence.
      {"10.0.0.1",
       {{HeaderId::kForwarded, "for=6.6.6.6;host=evil"}, {kFor, "192.0.2.1"}},
       "192.0.2.1",
       kOwn,
       "192.0.2.1, 10.0.0.1"},
      {"10.0.0.1",
       {{HeaderId::kXRealIp, "192.0.2.1"}, {kProto, "https"}},
       "192.0.2.1",
       "https://weir.example:18080",
       "192.0.2.1, 10.0.0.1"},
      {"10.0.0.1",
       {{HeaderId::kXRealIp, "6.6.6.6"}, {kFor, "192.0.2.1"}},
       "192.0.2.1",
       kOwn,
       "192.0.2.1, 10.0.0.1"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.peer);
    if (!row.sent.empty()) CAPTURE(row.sent.front().second);
    const ClientIdentity identity = identify(row.peer, row.sent);
    CHECK(ip_to_string(identity.client) == row.client);
    CHECK(identity.base_url() == row.base_url);
    CHECK(identity.chain == row.chain);
  }
}

TEST_CASE("forwarded: a policy narrows what counts") {
  const Sent sent = {{kFor, "6.6.6.6"}, {HeaderId::kForwarded, "for=192.0.2.1;proto=https"}};
  CHECK(identify("10.0.0.1", sent, {false, true, true}).base_url() == "https://weir.example:18080");
  CHECK(ip_to_string(identify("10.0.0.1", sent, {false, true, true}).client) == "192.0.2.1");
  CHECK(ip_to_string(identify("10.0.0.1", sent, {false, false, false}).client) == "10.0.0.1");
}

TEST_CASE("forwarded: a thousand hops end") {
  std::string list = "10.0.0.9";
  for (int i = 0; i < 1000; ++i) list += ",10.0.0.9";
  const ClientIdentity identity = identify("10.0.0.1", {{kFor, list}});
  CHECK(identity.chain.size() < 400);
}

TEST_CASE("forwarded: nodes") {
  CHECK(to_string(parse_node("192.0.2.1:80")) == "192.0.2.1:80");
  CHECK(to_string(parse_node("[::1]:80")) == "[::1]:80");
  CHECK(parse_node("::ffff:1.2.3.4").family == Family::kIpv4);
  CHECK(parse_node("1.2.3.4:_port").family == Family::kIpv4);
  for (const char* text : {"", "[", "[::1", "[::1]x", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:70000",
                           "unknown", "_x", "1.2.3"}) {
    CAPTURE(text);
    CHECK(parse_node(text).empty());
  }
}

TEST_CASE("forwarded: elements") {
  std::string_view value = "for=\"_a\\\"b\";by=x , proto=https;for=1.2.3.4:5;secret=\"a,b;c\"";
  ForwardedElement element;
  REQUIRE(next_forwarded(value, element));
  CHECK(element.has_for);
  CHECK(element.client.empty());
  REQUIRE(next_forwarded(value, element));
  CHECK(to_string(element.client) == "1.2.3.4:5");
  CHECK(element.proto == "https");
  CHECK_FALSE(next_forwarded(value, element));
  CHECK(value.empty());
  for (std::string_view bad : {"for=1.2.3.4;for=1.2.3.4", "for", "for=", "for=\"1", "for=1 2", "=x",
                               "for=1.2.3.4 proto=http"}) {
    CAPTURE(bad);
    CHECK_FALSE(next_forwarded(bad, element));
    CHECK_FALSE(bad.empty());
  }
}

TEST_CASE("forwarded: what the origin gets") {
  std::string out;
  HeadWriter writer(out);
  writer.request("GET", "/");
  write_forwarding(writer, identify("fd00::1", {{kFor, "2001:db8::7"}, {kProto, "https"}}));
  REQUIRE(writer.finish());
  CHECK(out ==
        "GET / HTTP/1.1\r\nX-Forwarded-For: 2001:db8::7, fd00::1\r\nX-Forwarded-Proto: https\r\n"
        "X-Forwarded-Host: weir.example:18080\r\nX-Forwarded-Port: 18080\r\n"
        "X-Real-IP: 2001:db8::7\r\nForwarded: for=\"[2001:db8::7]\";host=\"weir.example:18080\";"
        "proto=https, for=\"[fd00::1]\"\r\n\r\n");
}

}  // namespace weir::http
