// Text helpers, JSON and the wire form of answers.
#include <doctest/doctest.h>

#include <string>

#include "workers/control/http_message.h"
#include "workers/control/json.h"
#include "workers/control/text.h"
#include "workers/control/views.h"

using namespace weir::control;

TEST_CASE("text: queries") {
  CHECK(query_value("a=1&b=2", "b") == "2");
  CHECK(query_value("a=1&a=2", "a") == "1");
  CHECK(query_value("key=v%2Fa%2fb+c", "key") == "v/a/b c");
  CHECK(query_value("flag", "flag") == "");
  CHECK_FALSE(query_value("ab=1", "a").has_value());
  CHECK_FALSE(query_value("", "a").has_value());
  CHECK_FALSE(query_value("a=%4", "a").has_value());
  CHECK_FALSE(query_value("a=%zz", "a").has_value());
  CHECK(parse_number("10", 10) == 10U);
  CHECK_FALSE(parse_number("11", 10).has_value());
  CHECK_FALSE(parse_number("", 10).has_value());
  CHECK_FALSE(parse_number("-1", 10).has_value());
  CHECK_FALSE(parse_number("1x", 10).has_value());
}

TEST_CASE("text: times, labels") {
  CHECK(iso_time(0) == "1970-01-01T00:00:00.000Z");
  CHECK(iso_time(1795334400123) == "2026-11-22T08:00:00.123Z");
  CHECK(escape_label("a\"b\\c\nd") == "a\\\"b\\\\c\\nd");
}

TEST_CASE("ids of origins") {
  CHECK(origin_id({7, 3}) == "7-3");
  CHECK(parse_origin_id("7-3") == weir::ipc::OriginRef{7, 3});
  for (const std::string_view bad : {"", "-", "7", "7-", "-3", "7-3-1", "a-1", "4294967296-1"}) {
    CHECK_FALSE(parse_origin_id(bad).has_value());
  }
}

TEST_CASE("answers on the wire") {
  HttpResponse response = make_error(404, 1003, "no \"such\" \xFF thing");
  const std::string text = to_wire(response, true, false);
  CHECK(text.rfind("HTTP/1.1 404 Not Found\r\n", 0) == 0);
  CHECK(text.find("Content-Type: application/json\r\n") != std::string::npos);
  CHECK(text.find("Content-Length: " + std::to_string(response.body.size()) + "\r\n") !=
        std::string::npos);
  const JsonPtr json(cJSON_Parse(response.body.c_str()));
  REQUIRE(json);
  CHECK(cJSON_GetObjectItem(json.get(), "code")->valueint == 1003);
  const std::string head = to_wire(response, false, true);
  CHECK(head.substr(head.size() - 4) == "\r\n\r\n");
  CHECK(head.find("Connection: close") != std::string::npos);
}
