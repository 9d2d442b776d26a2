#include <doctest/doctest.h>

#include <array>

#include "workers/http/rtc_answer_session.h"

using namespace weir;
using namespace weir::http;

namespace {

const std::string kPassword(24, 'p');

std::string section(std::string_view kind, std::string_view ufrag, std::string_view candidates) {
  std::string out = "m=" + std::string(kind) + " 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n";
  out += "a=ice-ufrag:" + std::string(ufrag) + "\r\na=ice-pwd:" + kPassword +
         "\r\na=setup:passive\r\n";
  return out.append(candidates);
}

std::string description(std::string_view sections, std::string_view group = "") {
  return "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + std::string(group) +
         std::string(sections);
}

std::string candidate(std::string_view address, int port, std::string_view rest = "typ host") {
  return "a=candidate:1 1 udp 99 " + std::string(address) + " " + std::to_string(port) + " " +
         std::string(rest) + "\r\n";
}

Endpoint at(std::string_view text) {
  return parse_listen(text).value();
}

const std::array<Endpoint, 1> kPublic = {at("203.0.113.7:8000")};

RtcAddresses addresses(std::string_view api = "10.0.0.5:1985", Endpoint media = {}) {
  return {kPublic, {}, at(api), media};
}

}  // namespace

TEST_CASE("one flow for a bundle, known by both ufrags") {
  const std::string offer =
      description(section("audio", "offA", "") + section("video", "offA", ""));
  const std::string answer = description(section("audio", "ansA", candidate("10.0.0.5", 8000)) +
                                         section("video", "ansA", candidate("10.0.0.5", 8000)));
  const auto made = read_answer(offer, answer, addresses());
  REQUIRE(made.has_value());
  REQUIRE(made->flows.size() == 1);
  CHECK(made->flows[0] == RtcFlow{"ansA:offA", kPassword, at("10.0.0.5:8000")});
  CHECK(made->sdp.find("203.0.113.7 8000") != std::string::npos);
  CHECK(made->sdp.find("10.0.0.5") == std::string::npos);
}

TEST_CASE("sections of their own are flows of their own") {
  const std::string offer =
      description(section("audio", "offA", "") + section("video", "offB", ""));
  const std::string answer = description(section("audio", "ansA", candidate("10.0.0.5", 8000)) +
                                         section("video", "ansB", candidate("10.0.0.5", 8001)));
  const auto made = read_answer(offer, answer, addresses());
  REQUIRE(made.has_value());
  REQUIRE(made->flows.size() == 2);
  CHECK(made->flows[0].username == "ansA:offA");
  CHECK(made->flows[1] == RtcFlow{"ansB:offB", kPassword, at("10.0.0.5:8001")});
  const auto known = read_answer(offer, answer, addresses("10.0.0.5:1985", at("10.0.0.6:9000")));
  REQUIRE(known.has_value());
  CHECK(known->flows[1].media == at("10.0.0.6:9000"));
}

TEST_CASE("where the origin takes its media") {
  struct Row {
    std::string candidates;
    std::string_view api;
    std::string_view media;
  };
  const Row rows[] = {
      // The address that was asked comes first, then a public one.
      {candidate("203.0.113.5", 1) + candidate("10.0.0.5", 2), "10.0.0.5:1985", "10.0.0.5:2"},
      {candidate("192.168.0.1", 1) + candidate("203.0.113.5", 2), "10.0.0.5:1985", "203.0.113.5:2"},
      // Private, unspecified and hidden ones stand for the origin's host.
      {candidate("192.168.0.1", 3), "10.0.0.5:1985", "10.0.0.5:3"},
      {candidate("0.0.0.0", 3), "198.51.100.5:1985", "198.51.100.5:3"},
      {candidate("100.64.0.1", 3), "198.51.100.5:1985", "198.51.100.5:3"},
      {candidate("fd00::1", 3), "198.51.100.5:1985", "198.51.100.5:3"},
      {candidate("8e1c.local", 4), "10.0.0.5:1985", "10.0.0.5:4"},
      {candidate("127.0.0.1", 5), "127.0.0.1:1985", "127.0.0.1:5"},
      {candidate("2001:db8::5", 6), "[2001:db8::5]:1985", "[2001:db8::5]:6"},
  };
  const std::string offer = description(section("audio", "offA", ""));
  for (const Row& row : rows) {
    CAPTURE(row.candidates);
    const auto made = read_answer(offer, description(section("audio", "ansA", row.candidates)),
                                  addresses(row.api));
    REQUIRE(made.has_value());
    CHECK(made->flows[0].media == at(row.media));
  }
  for (const std::string& none :
       {std::string(), candidate("203.0.113.5", 1, "typ relay raddr 0.0.0.0 rport 0"),
        std::string("a=candidate:1 1 tcp 9 10.0.0.5 8000 typ host tcptype passive\r\n")}) {
    CAPTURE(none);
    const std::string answer = description(section("audio", "ansA", none));
    CHECK_FALSE(read_answer(offer, answer, addresses()).has_value());
    CHECK(read_answer(offer, answer, addresses("10.0.0.5:1985", at("10.0.0.5:9"))).has_value());
  }
}

TEST_CASE("what is no offer or no answer") {
  const std::string good = description(section("audio", "offA", ""));
  CHECK(check_offer(good).empty());
  for (const std::string& bad :
       {std::string(), std::string("v=1\r\n"), description(""),
        description("m=audio 9 RTP/AVP 0\r\n"), description(section("audio", "x y", ""))}) {
    CAPTURE(bad);
    CHECK_FALSE(check_offer(bad).empty());
    CHECK_FALSE(read_answer(good, bad, addresses()).has_value());
  }
}

TEST_CASE("restarts") {
  const auto fragment = [](std::string_view ufrag, std::string_view rest) {
    return "a=ice-ufrag:" + std::string(ufrag) + "\r\na=ice-pwd:" + kPassword +
           "\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n" + std::string(rest);
  };
  CHECK(is_fragment(fragment("offB", "")));
  CHECK_FALSE(is_fragment("nothing"));
  CHECK_FALSE(is_fragment(""));
  auto made =
      read_restart(fragment("offB", ""), fragment("ansB", candidate("10.0.0.5", 1)), addresses());
  REQUIRE(made.has_value());
  REQUIRE(made->flows.size() == 1);
  CHECK(made->flows[0].username == "ansB:offB");
  CHECK(made->sdp.find("203.0.113.7 8000") != std::string::npos);
  CHECK(made->sdp.find("10.0.0.5") == std::string::npos);
  made = read_restart(fragment("offB", ""), "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n", addresses());
  REQUIRE(made.has_value());
  CHECK(made->flows.empty());
}

TEST_CASE("addresses that a client wishes") {
  CHECK(wanted_address("192.0.2.1", 8000) == at("192.0.2.1:8000"));
  CHECK(wanted_address("192.0.2.1:99", 8000) == at("192.0.2.1:99"));
  CHECK(wanted_address("2001:db8::1", 8000) == at("[2001:db8::1]:8000"));
  CHECK(wanted_address("[2001:db8::1]:99", 8000) == at("[2001:db8::1]:99"));
  for (const std::string_view bad :
       {"", "name", "8000", ":8000", "1.2.3", "1.2.3.4:0", "1.2.3.4:x"}) {
    CAPTURE(bad);
    CHECK(wanted_address(bad, 8000).empty());
  }
}
