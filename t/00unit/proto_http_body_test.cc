// Chunked bodies, conditional and range requests, dates, entity tags.
#include <doctest/doctest.h>

#include <string>

#include "common/proto/http/chunked.h"
#include "common/proto/http/range.h"

namespace weir::http {
namespace {

struct Decoded {
  std::string data;
  std::string rest;
  ParseStatus status = ParseStatus::kNeedMore;
  ChunkedError error = ChunkedError::kNone;
};

Decoded decode(const std::string& text, std::size_t step) {
  ChunkedDecoder decoder;
  Decoded out;
  for (std::size_t at = 0; at < text.size() && !decoder.done(); at += step) {
    ByteView in = as_bytes(std::string_view(text).substr(at, step));
    ByteView data;
    do {
      out.status = decoder.next(in, data);
      out.data.append(as_text(data));
    } while (out.status == ParseStatus::kComplete && !decoder.done());
    if (decoder.done()) out.rest = text.substr(at + std::min(step, text.size() - at) - in.size());
    if (out.status == ParseStatus::kInvalid) break;
  }
  out.error = decoder.error();
  return out;
}

Fields fields_of(std::initializer_list<std::pair<HeaderId, std::string_view>> list) {
  Fields fields;
  for (const auto& [id, value] : list) fields.add(header_name(id), value);
  return fields;
}

}  // namespace

TEST_CASE("chunked: bodies, cut anywhere") {
  struct Row {
    const char* text;
    const char* data;
    const char* rest;
  };
  const Row rows[] = {
      {"0\r\n\r\nGET", "", "GET"},
      {"5\r\nhello\r\n0\r\n\r\n", "hello", ""},
      {"00000005;a=b;c=\"d\"\r\nhello\r\nA \t;x\r\n0123456789\r\n000\r\n\r\n0", "hello0123456789",
       "0"},
      {"1\r\na\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\nrest", "a", "rest"},
  };
  for (const Row& row : rows) {
    const std::string text = row.text;
    for (std::size_t step = 1; step <= text.size(); ++step) {
      const Decoded out = decode(text, step);
      CHECK(out.status == ParseStatus::kComplete);
      CHECK(out.data == row.data);
      CHECK(out.rest == row.rest);
    }
  }
}

TEST_CASE("chunked: faults, cut anywhere") {
  struct Row {
    std::string text;
    ChunkedError error;
  };
  const Row rows[] = {
      {"\r\n", ChunkedError::kBadSize},
      {"g\r\n", ChunkedError::kBadSize},
      {"-5\r\n", ChunkedError::kBadSize},
      {"0x5\r\n", ChunkedError::kBadSize},
      {" 5\r\n", ChunkedError::kBadSize},
      {"8000000000000000\r\n", ChunkedError::kSizeTooLarge},
      {"00000000000000005\r\n", ChunkedError::kSizeTooLarge},
      {"5\nhello", ChunkedError::kBadSize},
      {"5 \r\nhello", ChunkedError::kBadExtension},
      {"5;a\nb\r\n", ChunkedError::kBadExtension},
      {"5;" + std::string(300, 'a'), ChunkedError::kLineTooLong},
      {"5\rhello", ChunkedError::kBadLineEnd},
      {"5\r\nhelloX\r\n", ChunkedError::kBadLineEnd},
      {"5\r\nhello\n", ChunkedError::kBadLineEnd},
      {"5\r\nhello\rX", ChunkedError::kBadLineEnd},
      {"0\r\n\n", ChunkedError::kBadTrailer},
      {"0\r\n\rX", ChunkedError::kBadLineEnd},
      {"0\r\nA b: c\r\n\r\n", ChunkedError::kBadTrailer},
      {"0\r\n: c\r\n\r\n", ChunkedError::kBadTrailer},
      {"0\r\nabc\r\n\r\n", ChunkedError::kBadTrailer},
      {"0\r\nA: b\n\r\n", ChunkedError::kBadTrailer},
      {"0\r\nA: b\rX", ChunkedError::kBadLineEnd},
      {"0\r\nA: " + std::string(5000, 'a'), ChunkedError::kTrailerTooLarge},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    for (const std::size_t step :
         {std::size_t{1}, std::size_t{2}, std::size_t{7}, row.text.size()}) {
      const Decoded out = decode(row.text, step);
      CHECK(out.status == ParseStatus::kInvalid);
      CHECK(to_string(out.error) == to_string(row.error));
    }
  }
}

TEST_CASE("chunked: payload that moves past the decoder") {
  ChunkedDecoder decoder;
  ByteView in = as_bytes("ffff\r\n");
  ByteView data;
  CHECK(decoder.next(in, data) == ParseStatus::kNeedMore);
  CHECK(decoder.chunk_left() == 0xFFFF);
  decoder.skip(0xFFFE);
  CHECK(decoder.chunk_left() == 1);
  decoder.skip(1);
  CHECK(decoder.chunk_left() == 0);
  in = as_bytes("\r\n0\r\n\r\n");
  CHECK(decoder.next(in, data) == ParseStatus::kComplete);
  CHECK(decoder.done());
  std::string out;
  append_chunk_size(out, 0x1A2B);
  CHECK(out == "1a2b\r\n");
}

TEST_CASE("http date") {
  CHECK(format_http_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(format_http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT");
  CHECK(format_http_date(951782400) == "Tue, 29 Feb 2000 00:00:00 GMT");
  CHECK(format_http_date(253402300799) == "Fri, 31 Dec 9999 23:59:59 GMT");
  CHECK(format_http_date(INT64_MAX) == "Fri, 31 Dec 9999 23:59:59 GMT");
  CHECK(format_http_date(INT64_MIN) == "Sat, 01 Jan 0000 00:00:00 GMT");
  CHECK(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777);
  CHECK(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT") == 784111777);
  CHECK(parse_http_date("Sun Nov  6 08:49:37 1994") == 784111777);
  CHECK(parse_http_date("Sun Nov 16 08:49:37 1994") == 784111777 + 864000);
  for (const char* text :
       {"", "Sun, 06 Nov 1994 08:49:37", "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 31 Apr 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 06 Nov 1994 08:49:37 UTC", "784111777"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_http_date(text));
  }
  for (std::int64_t t = -60000000000; t < 250000000000; t += 123456789) {
    CHECK(parse_http_date(format_http_date(t)) == t);
  }
}

TEST_CASE("entity tags") {
  CHECK(is_entity_tag("\"a\""));
  CHECK(is_entity_tag("W/\"\""));
  for (const char* text : {"", "\"", "a", "w/\"a\"", "\"a\"b\"", "\"a b\""}) {
    CHECK_FALSE(is_entity_tag(text));
  }
  CHECK(strong_equal("\"a\"", "\"a\""));
  CHECK_FALSE(strong_equal("W/\"a\"", "W/\"a\""));
  CHECK(weak_equal("W/\"a\"", "\"a\""));
  CHECK_FALSE(weak_equal("", ""));
  CHECK(any_tag_matches("\"x\", W/\"a\" ,\"y\"", "\"a\"", TagCompare::kWeak));
  CHECK_FALSE(any_tag_matches("\"x\", W/\"a\"", "\"a\"", TagCompare::kStrong));
  CHECK(any_tag_matches("\"x,y\"", "\"x,y\"", TagCompare::kStrong));
  CHECK(any_tag_matches(" * ", "", TagCompare::kStrong));
  CHECK_FALSE(any_tag_matches("a, \"a\"", "\"a\"", TagCompare::kWeak));
  CHECK(is_entity_tag(file_entity_tag(-1, UINT64_MAX)));
  CHECK(file_entity_tag(255, 16) == "\"ff-10\"");
}

TEST_CASE("conditions") {
  const Validators known{"\"v1\"", 784111777};
  const std::string same = format_http_date(784111777);
  const std::string older = format_http_date(784111776);
  struct Row {
    Method method;
    Fields fields;
    Condition expected;
  };
  const Row rows[] = {
      {Method::kGet, {}, Condition::kProceed},
      {Method::kGet, fields_of({{HeaderId::kIfNoneMatch, "W/\"v1\""}}), Condition::kNotModified},
      {Method::kHead, fields_of({{HeaderId::kIfNoneMatch, "*"}}), Condition::kNotModified},
      {Method::kPut, fields_of({{HeaderId::kIfNoneMatch, "*"}}), Condition::kPreconditionFailed},
      {Method::kGet, fields_of({{HeaderId::kIfNoneMatch, "\"v2\""}}), Condition::kProceed},
      // If-None-Match hides If-Modified-Since.
      {Method::kGet,
       fields_of({{HeaderId::kIfNoneMatch, "\"v2\""}, {HeaderId::kIfModifiedSince, same}}),
       Condition::kProceed},
      {Method::kGet, fields_of({{HeaderId::kIfModifiedSince, same}}), Condition::kNotModified},
      {Method::kGet, fields_of({{HeaderId::kIfModifiedSince, older}}), Condition::kProceed},
      {Method::kGet, fields_of({{HeaderId::kIfModifiedSince, "nonsense"}}), Condition::kProceed},
      {Method::kPost, fields_of({{HeaderId::kIfModifiedSince, same}}), Condition::kProceed},
      {Method::kGet, fields_of({{HeaderId::kIfMatch, "\"v1\""}}), Condition::kProceed},
      {Method::kGet, fields_of({{HeaderId::kIfMatch, "W/\"v1\""}}), Condition::kPreconditionFailed},
      {Method::kGet, fields_of({{HeaderId::kIfUnmodifiedSince, same}}), Condition::kProceed},
      {Method::kGet, fields_of({{HeaderId::kIfUnmodifiedSince, older}}),
       Condition::kPreconditionFailed},
      {Method::kGet, fields_of({{HeaderId::kIfMatch, "*"}, {HeaderId::kIfUnmodifiedSince, older}}),
       Condition::kProceed},
  };
  for (const Row& row : rows) {
    CHECK(evaluate_conditions(row.method, row.fields, known) == row.expected);
  }
}

TEST_CASE("ranges") {
  using Kind = RangeDecision::Kind;
  struct Row {
    const char* value;
    std::uint64_t size;
    Kind kind;
    ByteRange range;
  };
  const Row rows[] = {
      {"bytes=0-0", 10, Kind::kPartial, {0, 0}},
      {"bytes=0-", 10, Kind::kPartial, {0, 9}},
      {"Bytes=3-99", 10, Kind::kPartial, {3, 9}},
      {"bytes=-3", 10, Kind::kPartial, {7, 9}},
      {"bytes=-99", 10, Kind::kPartial, {0, 9}},
      {"bytes=9-9", 10, Kind::kPartial, {9, 9}},
      {"bytes=10-", 10, Kind::kUnsatisfiable, {}},
      {"bytes=0-", 0, Kind::kUnsatisfiable, {}},
      {"bytes=-0", 10, Kind::kUnsatisfiable, {}},
      {"bytes=-5", 0, Kind::kUnsatisfiable, {}},
      {"bytes=0-1,3-4", 10, Kind::kWhole, {}},
      {"bytes=5-4", 10, Kind::kWhole, {}},
      {"bytes=-", 10, Kind::kWhole, {}},
      {"bytes=", 10, Kind::kWhole, {}},
      {"bytes=a-b", 10, Kind::kWhole, {}},
      {"bytes=1", 10, Kind::kWhole, {}},
      {"bytes 0-1", 10, Kind::kWhole, {}},
      {"seconds=0-1", 10, Kind::kWhole, {}},
      {"bytes=18446744073709551616-", 10, Kind::kWhole, {}},
      {"", 10, Kind::kWhole, {}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.value);
    const RangeDecision decision = parse_range(row.value, row.size);
    CHECK(decision.kind == row.kind);
    CHECK(decision.range == row.range);
  }
  CHECK(content_range({1, 2}, 10) == "bytes 1-2/10");
  CHECK(content_range_unsatisfied(10) == "bytes */10");
}

TEST_CASE("If-Range") {
  using Kind = RangeDecision::Kind;
  const Validators known{"\"v1\"", 784111777};
  const auto kind = [&](std::string_view if_range, Method method = Method::kGet) {
    const Fields fields =
        fields_of({{HeaderId::kRange, "bytes=0-1"}, {HeaderId::kIfRange, if_range}});
    return evaluate_range(method, fields, known, 10).kind;
  };
  CHECK(kind("\"v1\"") == Kind::kPartial);
  CHECK(kind("W/\"v1\"") == Kind::kWhole);
  CHECK(kind("\"v2\"") == Kind::kWhole);
  CHECK(kind("Sun, 06 Nov 1994 08:49:37 GMT") == Kind::kPartial);
  CHECK(kind("Sun, 06 Nov 1994 08:49:38 GMT") == Kind::kWhole);
  CHECK(kind("") == Kind::kWhole);
  CHECK(kind("\"v1\"", Method::kHead) == Kind::kWhole);
}

}  // namespace weir::http
