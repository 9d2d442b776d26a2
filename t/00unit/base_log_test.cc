// Log lines stay one line, whatever stands in a value.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "common/base/log.h"

namespace {

// What `write` logs, with the given format, as text.
template <typename Write>
std::string logged(weir::LogFormat format, weir::LogLevel level, Write write) {
  char path[] = "/tmp/weir-log-test-XXXXXX";
  const weir::UniqueFd fd(::mkstemp(path));
  REQUIRE(fd);
  weir::LogSettings settings;
  settings.target = weir::LogTarget::kFile;
  settings.format = format;
  settings.level = level;
  settings.file = path;
  REQUIRE(weir::log_open(settings));
  write();
  REQUIRE(weir::log_open({}));
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  ::unlink(path);
  return text.str();
}

void evil() {
  weir::LogLine(weir::LogLevel::kWarn, "client refused")
      .session(0xAB)
      .field("stream", "a\nerror fake[1] b=\"c\" \x1b[31m")
      .field("count", 3)
      .field("empty", "");
}

}  // namespace

TEST_CASE("log: text escapes what could end a line or a field") {
  const std::string text = logged(weir::LogFormat::kText, weir::LogLevel::kInfo, evil);
  CHECK(text.find("] client refused session=00000000000000ab stream=\"a\\u000aerror fake[1] "
                  "b=\\\"c\\\" \\u001b[31m\" count=3 empty=\"\"\n") != std::string::npos);
  CHECK(text.find('\n') == text.size() - 1);
}

TEST_CASE("log: JSON lines carry the same fields") {
  const std::string text = logged(weir::LogFormat::kJson, weir::LogLevel::kInfo, evil);
  CHECK(text.starts_with("{\"time\":\""));
  CHECK(text.find("\"event\":\"client "
                  "refused\",\"session\":\"00000000000000ab\",\"stream\":\"a\\u000aerror "
                  "fake[1] b=\\\"c\\\" \\u001b[31m\",\"count\":3,\"empty\":\"\"}\n") !=
        std::string::npos);
}

TEST_CASE("log: bytes that are not UTF-8, and control characters in it, are escaped") {
  const auto write = [] {
    weir::LogLine(weir::LogLevel::kWarn, "e")
        .field("a", "\xC3\xBC\xE2\x82\xAC\xF0\x9F\x8E\xA5")
        .field("b", "x\xFFy")
        .field("c", "\xC2\x9B")
        .field("d", "\xED\xA0\x80")
        .field("e", "\xE2\x82");
  };
  const std::string text = logged(weir::LogFormat::kText, weir::LogLevel::kInfo, write);
  CHECK(text.find(" e a=\xC3\xBC\xE2\x82\xAC\xF0\x9F\x8E\xA5 b=\"x\\u00ffy\" "
                  "c=\"\\u00c2\\u009b\" d=\"\\u00ed\\u00a0\\u0080\" "
                  "e=\"\\u00e2\\u0082\"\n") != std::string::npos);
  const std::string json = logged(weir::LogFormat::kJson, weir::LogLevel::kInfo, write);
  CHECK(json.find("\"b\":\"x\\u00ffy\",\"c\":\"\\u00c2\\u009b\"") != std::string::npos);
}

TEST_CASE("log: levels below the threshold are not written") {
  CHECK(logged(weir::LogFormat::kText, weir::LogLevel::kError, evil).empty());
  CHECK_FALSE(weir::parse_log_level("loud"));
  CHECK(*weir::parse_log_level("warn") == weir::LogLevel::kWarn);
}

TEST_CASE("log: a file that cannot be opened leaves the old target in use") {
  weir::LogSettings settings;
  settings.target = weir::LogTarget::kFile;
  settings.file = "/nonexistent/weir.log";
  const auto opened = weir::log_open(settings);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().text.find("/nonexistent/weir.log") != std::string::npos);
  CHECK(weir::log_fd() == STDERR_FILENO);
}
