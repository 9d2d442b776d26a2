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
