#include <doctest/doctest.h>

#include "common/config/values.h"

using namespace weir;
using namespace weir::config;

TEST_CASE("durations: units, compounds and fractions as Go writes them") {
  const std::pair<const char*, std::uint64_t> good[] = {
      {"0", 0},          {"0s", 0},         {"20ms", 20},
      {"30s", 30'000},   {"1m30s", 90'000}, {"1h", 3'600'000},
      {"1d", 86400000},  {"1.5s", 1500},    {"1h1m1s1ms", 3'661'001},
      {"300s", 300'000}, {"0.001s", 1}};
  for (const auto& [written, ms] : good) {
    const auto& text = written;
    CAPTURE(text);
    REQUIRE(parse_duration(text));
    CHECK(*parse_duration(text) == ms);
    CHECK(*parse_duration(print_duration(ms)) == ms);
  }
  for (const char* text :
       {"", "30", "s", "1x", "1m30", "-1s", "1 s", "1..5s", "1.s", ".5s", "1us", "9999999999999s",
        "999999999999d", "213503982335d", "1s ", "１s", "0x10s"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_duration(text));
  }
}

TEST_CASE("sizes are bytes or powers of 1024") {
  CHECK(*parse_size("0") == 0);
  CHECK(*parse_size("1k") == 1024);
  CHECK(*parse_size("16M") == 16U << 20);
  CHECK(*parse_size("2g") == 2ULL << 30);
  for (const std::uint64_t bytes : {0ULL, 1ULL, 1000ULL, 1024ULL, 65536ULL, 3ULL << 30}) {
    CHECK(*parse_size(print_size(bytes)) == bytes);
  }
  for (const char* text :
       {"", "k", "1kb", "-1", "1.5k", "1 k", "99999999999999", "999999999999g"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_size(text));
  }
}

TEST_CASE("numbers and flags take nothing that only looks alike") {
  CHECK(*parse_int("42") == 42);
  CHECK(*parse_int("-1") == -1);
  for (const char* text : {"", "1k", "5m", "0x10", "1.0", " 1", "+1", "99999999999999999999"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_int(text));
  }
  CHECK(*parse_flag("on"));
  CHECK_FALSE(*parse_flag("off"));
  for (const char* text : {"", "true", "yes", "1", "ON"}) CHECK_FALSE(parse_flag(text));
}

TEST_CASE("a number that is too large is called that, in every form") {
  const std::string nines(200, '9');
  const auto says = [](const auto& result, std::string_view what) {
    return !result && result.error().text.ends_with(what);
  };
  for (const std::string& text :
       {nines + "d", std::string("999999999999d"), "1h" + nines + "s", nines + ".5ms",
        std::string("36601d"), std::string("36600d1ms"), std::string("36600d36600d")}) {
    CAPTURE(text);
    CHECK(says(parse_duration(text), " is too large"));
  }
  CHECK(parse_duration("36600d").value() == 36600ULL * 86'400'000);
  for (const std::string& text : {nines + "x", nines + "d1", nines + ".d"}) {
    CAPTURE(text);
    CHECK(says(parse_duration(text), " is not a duration, such as 20ms, 30s or 1m30s"));
  }
  CHECK(says(parse_duration(nines), " has no unit (ms, s, m, h or d)"));
  for (const std::string& text : {nines, nines + "k", nines + "g", std::string("999999999999g")}) {
    CAPTURE(text);
    CHECK(says(parse_size(text), " is too large"));
  }
  CHECK(says(parse_size(nines + "x"), " is not a size, such as 4096, 64k, 16m or 1g"));
  CHECK(says(parse_int(nines), " is too large"));
  CHECK(says(parse_int("-" + nines), " is too small"));
  CHECK(says(parse_int(nines + "k"), " is not a whole number"));
}

TEST_CASE("a value in a message is cut and free of control characters") {
  CHECK(show("a\x1b[31mb\n") == "\"a?[31mb?\"");
  CHECK(show(std::string(1000, 'x')).size() == 64 + 3 + 2);
}
