// AMF0 and the commands made of it.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "common/proto/rtmp/amf0.h"
#include "common/proto/rtmp/chunk.h"
#include "common/proto/rtmp/command.h"

namespace weir::rtmp {
namespace {

using Bytes = std::vector<std::uint8_t>;
using amf0::Reader;
using amf0::Writer;

TEST_CASE("every type is written and skipped, and every cut is noticed") {
  Bytes out;
  Writer w(out);
  w.number(1.5).boolean(true).string("text").null().undefined().date(1e12);
  w.begin_object().key("a").number(1).key("b").begin_object().end_object().end_object();
  w.begin_ecma_array(7).key("x").string("y").end_object();
  w.begin_strict_array(2).number(1).begin_strict_array(0);
  const Bytes long_text{0x0C, 0, 0, 0, 2, 'h', 'i'};
  out.insert(out.end(), long_text.begin(), long_text.end());
  Reader all(out);
  int values = 0;
  while (!all.at_end()) {
    REQUIRE(all.skip());
    ++values;
  }
  CHECK(values == 10);
  for (std::size_t size = 0; size < out.size(); ++size) {
    Reader cut(ByteView(out).first(size));
    int whole = 0;
    while (!cut.at_end() && cut.skip()) ++whole;
    CHECK(whole < values);
  }
}

TEST_CASE("values come back") {
  Bytes out;
  Writer(out).number(-3.25).boolean(true).string("ab").undefined();
  Reader r(out);
  double n = 0;
  bool b = false;
  std::string_view s;
  CHECK((r.read_number(n) && n == -3.25));
  CHECK((r.read_boolean(b) && b));
  CHECK((r.read_string(s) && s == "ab"));
  CHECK(r.read_null());
  CHECK(r.at_end());
  CHECK_FALSE(r.read_null());
  CHECK_FALSE(r.ok());
}

TEST_CASE("types without a use are errors, also inside others") {
  for (const std::uint8_t marker : Bytes{0x04, 0x07, 0x09, 0x0D, 0x0F, 0x10, 0x11, 0x42}) {
    const Bytes bytes{marker, 0, 0, 0, 0, 0, 0, 9, 0, 0, 9};
    CHECK_FALSE(Reader(bytes).skip());
    const Bytes inside{0x03, 0, 1, 'a', marker, 0, 0, 0, 0, 0, 9};
    CHECK_FALSE(Reader(inside).skip());
  }
}

TEST_CASE("depth and number of values are bounded") {
  const auto nested = [](std::size_t depth) {
    Bytes out;
    Writer w(out);
    for (std::size_t i = 0; i < depth; ++i) w.begin_strict_array(1);
    w.null();
    return Reader(out).skip();
  };
  CHECK(nested(limits::kAmfDepth - 1));
  CHECK_FALSE(nested(limits::kAmfDepth));
  const auto wide = [](std::uint32_t count) {
    Bytes out;
    Writer w(out);
    w.begin_strict_array(count);
    for (std::uint32_t i = 0; i < count; ++i) w.null();
    return Reader(out).skip();
  };
  CHECK(wide(limits::kAmfItems - 1));
  CHECK_FALSE(wide(limits::kAmfItems));
  CHECK_FALSE(Reader(Bytes{0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 5}).skip());
  CHECK_FALSE(Reader(Bytes{0x0C, 0xFF, 0xFF, 0xFF, 0xFF, 5}).skip());
}

Command parsed(const Bytes& payload, std::uint8_t type = kCommandAmf0) {
  Command c;
  CHECK(parse_command(payload, type, c));
  return c;
}

TEST_CASE("connect") {
  Bytes out;
  Writer w(out);
  w.string("connect").number(1).begin_object();
  w.key("app").string("live").key("tcUrl").string("rtmp://h/live").key("fpad").boolean(false);
  w.key("videoFourCcInfoMap").begin_object().key("hvc1").number(3).end_object();
  w.key("objectEncoding").number(3).key("pageUrl").undefined().end_object();
  Command c = parsed(out);
  CHECK(c.kind == CommandKind::kConnect);
  CHECK(c.app == "live");
  CHECK(c.tc_url == "rtmp://h/live");
  CHECK(c.object_encoding == 3);
  Bytes amf3{0};
  amf3.insert(amf3.end(), out.begin(), out.end());
  c = parsed(amf3, kCommandAmf3);
  CHECK(c.app == "live");
  for (std::size_t size = 0; size < out.size(); ++size) {
    CHECK_FALSE(parse_command(ByteView(out).first(size), kCommandAmf0, c));
  }
}

TEST_CASE("publish, play and the small ones") {
  Bytes out;
  Writer(out).string("publish").number(5).null().string("cam?x=1").string("live");
  Command c = parsed(out);
  CHECK((c.kind == CommandKind::kPublish && c.stream == "cam?x=1" && c.publish_type == "live"));
  out.clear();
  Writer(out).string("play").number(5).null().string("cam").number(-2000);
  CHECK(parsed(out).stream == "cam");
  out.clear();
  Writer(out).string("publish").number(5).null().boolean(false);
  CHECK_FALSE(parse_command(out, kCommandAmf0, c));
  out.clear();
  Writer(out).string("releaseStream").number(2);
  CHECK(parsed(out).kind == CommandKind::kReleaseStream);
  out.clear();
  Writer(out).string("whatever").null();
  CHECK(parsed(out).kind == CommandKind::kOther);
}

TEST_CASE("answers are read as they are written") {
  Bytes out;
  write_connect_result(out, 1, 0);
  Command c = parsed(out);
  CHECK((c.kind == CommandKind::kResult && c.transaction == 1 && c.level == "status"));
  CHECK(c.code == "NetConnection.Connect.Success");
  out.clear();
  write_create_stream_result(out, 4, 7);
  c = parsed(out);
  REQUIRE(c.stream_id.has_value());
  CHECK((c.transaction == 4 && *c.stream_id == 7));
  out.clear();
  write_empty_result(out, 2);
  CHECK((parsed(out).transaction == 2 && !parsed(out).stream_id));
  out.clear();
  write_on_status(out, "error", "NetStream.Play.StreamNotFound", "no such stream");
  c = parsed(out);
  CHECK((c.kind == CommandKind::kOnStatus && c.level == "error"));
  CHECK(c.description == "no such stream");
}

TEST_CASE("a no-op has exactly the size that was asked for") {
  for (const std::uint8_t type : {kCommandAmf0, kCommandAmf3}) {
    for (const std::size_t size : {21UL, 22UL, 29UL, 200UL, 65000UL}) {
      Bytes out;
      REQUIRE(write_no_op(out, type, size));
      CHECK(out.size() == size);
      CHECK(parsed(out, type).kind == CommandKind::kOther);
    }
    Bytes out;
    CHECK_FALSE(write_no_op(out, type, 19));
    CHECK_FALSE(write_no_op(out, type, 70000));
    CHECK(out.empty());
  }
}

}  // namespace
}  // namespace weir::rtmp
