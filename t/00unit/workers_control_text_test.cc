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

TEST_CASE("errors in the API's form") {
  const HttpResponse response = make_error(404, 1003, "no \"such\" \xFF thing");
  CHECK(response.status == 404);
  CHECK(response.content_type == "application/json");
  const JsonPtr json(cJSON_Parse(response.body.c_str()));
  REQUIRE(json);
  CHECK(cJSON_GetObjectItem(json.get(), "code")->valueint == 1003);
}

TEST_CASE("what the server refuses has one of the API's statuses") {
  struct Row {
    int from, to, code;
  };
  for (const Row& row : {Row{400, 400, 1000}, Row{501, 400, 1000}, Row{505, 400, 1000},
                         Row{408, 408, 1006}, Row{413, 413, 1002}, Row{414, 431, 1002},
                         Row{431, 431, 1002}, Row{503, 503, 2005}, Row{403, 403, 1005}}) {
    const HttpResponse response = make_refusal(row.from, "why");
    CHECK(response.status == row.to);
    const JsonPtr json(cJSON_Parse(response.body.c_str()));
    REQUIRE(json);
    CHECK(cJSON_GetObjectItem(json.get(), "code")->valueint == row.code);
  }
}
