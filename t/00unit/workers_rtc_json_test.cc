#include <doctest/doctest.h>

#include "workers/http/rtc_json.h"

using namespace weir::http;

TEST_CASE("bodies are written anew, and none has a member twice") {
  const auto print = [](std::string_view body) {
    const auto offer = read_srs_offer(body);
    return offer ? print_srs_offer(*offer, "U", "S", "192.0.2.9")
                 : "refused: " + offer.error().text;
  };
  CHECK(print(R"({"sdp":"v","streamurl":"x","tid":"t","n":{"streamurl":"y"}} trailing)") ==
        R"({"sdp":"S","streamurl":"U","tid":"t","n":{"streamurl":"y"}})");
  CHECK(print(R"({"s\u0064p":"v","stream\u0075rl":"x","clientip":"6.6.6.6"})") ==
        R"({"sdp":"S","streamurl":"U","clientip":"192.0.2.9"})");
  for (const std::string_view body :
       {R"({"sdp":"v","streamurl":"x","streamurl":"y"})",
        R"({"sdp":"v","streamurl":"x","s\u0064p":"w"})",
        R"({"sdp":"v","streamurl":"x","clientip":"a","clientip":"b"})",
        R"({"sdp":"v","streamurl":"x","streamurl\u0000z":"y"})", R"({"sdp":"v","streamurl":["x"]})",
        R"({"sdp":"","streamurl":"x"})", R"({"SDP":"v","streamurl":"x"})", "[]", "", "{"}) {
    CAPTURE(body);
    CHECK(print(body).starts_with("refused"));
  }
}

TEST_CASE("the publisher to an address among SRS's clients") {
  const auto find = [](std::string_view rows) {
    return find_srs_publisher("{\"clients\":[" + std::string(rows) + "]}", "webrtc://h/live/a");
  };
  const std::string_view ours =
      R"({"id":"x1","tcUrl":"webrtc://h/live","name":"a","type":"rtc-publish","publish":true,"alive":2.5})";
  const auto found = find(
      R"({"id":"x0","tcUrl":"webrtc://h/live","name":"a","type":"rtc-play","publish":false},)" +
      std::string(ours));
  REQUIRE(found);
  CHECK(found->count == 2);
  CHECK(found->id == "x1");
  CHECK(found->connected_ms == 2500);
  for (const auto& [from, to] :
       std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"webrtc://h", "webrtc://g"},
           {"\"a\"", "\"b\""},
           {"rtc-publish", "fmle-publish"},
           {"true", "false"},
           {"\"x1\"", "7"}}) {
    std::string other(ours);
    other.replace(other.find(from), from.size(), to);
    CAPTURE(other);
    REQUIRE(find(other));
    CHECK(find(other)->id.empty());
  }
  for (const std::string_view alive : {"-1", "\"x\"", "1e300"}) {
    std::string other(ours);
    other.replace(other.find("2.5"), 3, alive);
    CHECK(find(other)->id == "x1");
  }
  CHECK(find("")->count == 0);
  CHECK(find("1,[],null")->count == 3);
  for (const std::string_view body : {"", "[]", "{}", R"({"clients":{}})", R"({"code":404})"}) {
    CHECK_FALSE(find_srs_publisher(body, "webrtc://h/live/a"));
  }
}
