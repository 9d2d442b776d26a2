#include "common/base/utf8.h"

#include <doctest/doctest.h>

#include <string>

using namespace weir;

TEST_CASE("UTF-8: what is valid, and what becomes of the rest") {
  for (const std::string_view good : {"", "plain", "Gr\xC3\xB6\xC3\x9F\x65", "\xE2\x82\xAC",
                                      "\xF0\x9F\x98\x80", "\xEF\xBF\xBF", "\xF4\x8F\xBF\xBF"}) {
    CHECK(is_valid_utf8(good));
    CHECK(to_valid_utf8(good) == good);
  }
  for (const std::string_view bad :
       {"\xFF", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "a\xE2\x82"}) {
    CHECK_FALSE(is_valid_utf8(bad));
    CHECK(is_valid_utf8(to_valid_utf8(bad)));
  }
  CHECK(to_valid_utf8(std::string_view("a\0b", 3)) ==
        "a\xEF\xBF\xBD"
        "b");
  for (const std::string_view bad : {"\x80", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80",
                                     "\xF4\x90\x80\x80", "\xF8", "\xE2\x82"}) {
    std::string expected;
    for (std::size_t i = 0; i < bad.size(); ++i) expected += "\xEF\xBF\xBD";
    CHECK(to_valid_utf8(bad) == expected);
  }
}
