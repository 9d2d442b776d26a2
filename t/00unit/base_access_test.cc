#include <doctest/doctest.h>
#include <limits.h>

#include <string>
#include <vector>

#include "common/base/access_record.h"
#include "common/base/escape.h"

using namespace weir;

namespace {

AccessRecord full() {
  AccessRecord record;
  record.time_ms = 1769903999999;
  record.session = 0x1f;
  record.protocol = "http";
  record.method = "GET";
  record.client = *parse_listen("192.0.2.7:4711");
  record.stream = "__defaultVhost__/live/a";
  record.target = "/live/a.flv";
  record.status = 200;
  record.origin = "o1@127.0.0.1:8080";
  record.bytes_from_client = 10;
  record.bytes_to_client = 20;
  record.duration_ms = 30;
  record.first_byte_ms = 4;
  record.reason = "done";
  record.agent = "VLC/3.0 (x)";
  record.referer = "https://example.com/";
  return record;
}

std::string line(const AccessRecord& record, LogFormat format) {
  std::string out;
  append_access_line(out, record, format);
  return out;
}

}  // namespace

TEST_CASE("an access log line has all fields in order, in both forms") {
  CHECK(line(full(), LogFormat::kText) ==
        "time=2026-01-31T23:59:59.999Z session=000000000000001f protocol=http method=GET "
        "client=192.0.2.7:4711 stream=__defaultVhost__/live/a target=/live/a.flv status=200 "
        "origin=o1@127.0.0.1:8080 bytes_from_client=10 bytes_to_client=20 duration_ms=30 "
        "first_byte_ms=4 reason=done agent=\"VLC/3.0 (x)\" referer=https://example.com/\n");
  CHECK(line(full(), LogFormat::kJson) ==
        "{\"time\":\"2026-01-31T23:59:59.999Z\",\"session\":\"000000000000001f\","
        "\"protocol\":\"http\",\"method\":\"GET\",\"client\":\"192.0.2.7:4711\","
        "\"stream\":\"__defaultVhost__/live/a\",\"target\":\"/live/a.flv\",\"status\":200,"
        "\"origin\":\"o1@127.0.0.1:8080\",\"bytes_from_client\":10,\"bytes_to_client\":20,"
        "\"duration_ms\":30,\"first_byte_ms\":4,\"reason\":\"done\",\"agent\":\"VLC/3.0 (x)\","
        "\"referer\":\"https://example.com/\"}\n");
}

TEST_CASE("what is absent has its place, and cannot be faked") {
  AccessRecord record;
  record.protocol = "rtmp";
  record.agent = "-";
  const std::string text = line(record, LogFormat::kText);
  CHECK(text.find(" client=- stream=- target=- status=- origin=- ") != text.npos);
  CHECK(text.find(" first_byte_ms=- reason=- agent=\"-\" referer=-\n") != text.npos);
  const std::string json = line(record, LogFormat::kJson);
  CHECK(json.find("\"status\":null,\"origin\":null,") != json.npos);
  CHECK(json.find("\"agent\":\"-\",\"referer\":null}") != json.npos);
  record.client = *parse_ip("2001:db8::1");  // named by a balancer, without a port
  CHECK(line(record, LogFormat::kText).find(" client=2001:db8::1 ") != std::string::npos);
}

TEST_CASE("no value from outside makes a second line or a second field") {
  for (const std::string_view evil : {"a\nfake=1", "a\r\nb", "a b=c", "a\" reason=done", "a\\",
                                      "\x1b[31m", "a\x7f", "\xff\xfe"}) {
    AccessRecord record = full();
    record.agent = record.referer = record.stream = record.target = evil;
    const std::string text = line(record, LogFormat::kText);
    CHECK(text.find('\n') == text.size() - 1);
    CHECK(text.find('\x1b') == text.npos);
    std::string quoted;
    append_quoted(quoted, evil);
    CHECK(text.find(" agent=" + quoted + " referer=" + quoted + "\n") != text.npos);
    const std::string json = line(record, LogFormat::kJson);
    CHECK(json.find('\n') == json.size() - 1);
    CHECK(json.find("\"agent\":" + quoted + ",") != json.npos);
  }
}

TEST_CASE("a line fits a pipe whatever the texts are, and shows that it was cut") {
  for (const std::string& filler :
       {std::string(9000, 'x'), std::string(9000, '\n'), std::string(9000, '"')}) {
    AccessRecord record = full();
    record.protocol = record.method = record.stream = record.target = record.origin =
        record.reason = record.agent = record.referer = filler;
    record.client = *parse_listen("[2001:db8:1111:2222:3333:4444:5555:6666]:65535");
    record.bytes_from_client = record.bytes_to_client = record.duration_ms = record.first_byte_ms =
        record.status = kAbsent - 1;
    for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
      const std::string text = line(record, format);
      CHECK(text.size() <= PIPE_BUF);
      CHECK(text.find("...\"") != text.npos);
    }
  }
}

TEST_CASE("a quoted text is cut between characters, never within one") {
  const auto cut = [](std::string_view text, std::size_t bound) {
    std::string out;
    append_quoted(out, text, bound);
    return out;
  };
  CHECK(cut("12345678", 8) == "\"12345678\"");
  CHECK(cut("123456789", 8) == "\"12345...\"");
  CHECK(cut("1234\n6789", 8) == "\"1234...\"");
  CHECK(cut("1234\xC3\xA9"
            "6789",
            8) == "\"1234...\"");
  CHECK(cut("123\xC3\xA9"
            "6789",
            8) == "\"123\xC3\xA9...\"");
}

TEST_CASE("what may be told of a URL") {
  CHECK(without_secrets("/live/a.flv?token=x") == "/live/a.flv");
  CHECK(without_secrets("/live/a.flv%3Ftoken=x") == "/live/a.flv");
  CHECK(without_secrets("/live/a.flv#x") == "/live/a.flv");
  CHECK(without_secrets("https://user:pass@example.com/p?q") == "example.com/p");
  CHECK(without_secrets("https://example.com/a@b") == "https://example.com/a@b");
  CHECK(without_secrets("a") == "a");
  CHECK(without_secrets("").empty());
}
