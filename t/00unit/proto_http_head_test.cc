// Heads of requests and responses: what is accepted, what is refused and with which answer, bodies,
// and that neither the cut of the input nor what a peer sent changes what others see.
#include <doctest/doctest.h>

#include <random>
#include <string>

#include "common/proto/http/head.h"
#include "common/proto/http/head_writer.h"

namespace weir::http {
namespace {

HeadError request_error(const std::string& text) {
  RequestParser parser;
  RequestHead head;
  const ParseStatus status = parser.parse(text, head);
  if (status == ParseStatus::kNeedMore) FAIL("needs more: " << text);
  return status == ParseStatus::kComplete ? HeadError::kNone : parser.error();
}

HeadError response_error(const std::string& text) {
  ResponseParser parser;
  ResponseHead head;
  const ParseStatus status = parser.parse(text, Method::kGet, head);
  if (status == ParseStatus::kNeedMore) FAIL("needs more: " << text);
  return status == ParseStatus::kComplete ? HeadError::kNone : parser.error();
}

// The fields after `GET / HTTP/1.1` and a Host.
std::string get(const std::string& fields) {
  return "GET / HTTP/1.1\r\nHost: a.example\r\n" + fields + "\r\n";
}

}  // namespace

TEST_CASE("http head: request") {
  const std::string text =
      "GET /live/a.flv?token=%41&x HTTP/1.1\r\nhOsT: h.example:8080\r\nRange:bytes=0-9 \t\r\n"
      "X-Mine:\r\nCookie: a\r\nCookie: b\r\nConnection: Keep-Alive, X-Mine\r\n\r\nREST";
  RequestParser parser;
  RequestHead head;
  REQUIRE(parser.parse(text, head) == ParseStatus::kComplete);
  CHECK(head.method == Method::kGet);
  CHECK(head.raw_target == "/live/a.flv?token=%41&x");
  CHECK(head.path == "/live/a.flv");
  CHECK(head.query == "token=%41&x");
  CHECK(head.host == "h.example:8080");
  CHECK(head.fields.get(HeaderId::kRange) == "bytes=0-9");
  CHECK(head.fields.get(HeaderId::kCookie) == "a");
  CHECK(head.fields.count(HeaderId::kCookie) == 2);
  REQUIRE(head.fields.find("x-MINE") != nullptr);
  CHECK(head.fields.find("x-mine")->value.empty());
  CHECK(head.fields.find("x-other") == nullptr);
  CHECK(head.fields.has_token(HeaderId::kConnection, "x-mine"));
  CHECK(head.keep_alive);
  CHECK(head.body.empty());
  CHECK(text.substr(head.consumed) == "REST");
}

TEST_CASE("http head: every known name is found, in any case") {
  for (std::size_t i = 1; i < kHeaderIds; ++i) {
    const auto id = static_cast<HeaderId>(i);
    std::string name(header_name(id));
    CHECK(header_id(name) == id);
    for (char& c : name) c = static_cast<char>(std::toupper(c));
    CHECK(header_id(name) == id);
    CHECK(header_id(name + "x") == HeaderId::kOther);
  }
  CHECK(header_id("") == HeaderId::kOther);
  CHECK(header_id("hosu") == HeaderId::kOther);
}

TEST_CASE("http head: request targets") {
  struct Row {
    const char* line;
    HeadError error;
    const char* host;
    const char* target;
  };
  const Row rows[] = {
      {"GET http://Other:81/a?b HTTP/1.1", HeadError::kNone, "Other:81", "/a?b"},
      {"GET HTTPS://other HTTP/1.1", HeadError::kNone, "other", "/"},
      {"GET http://other?q HTTP/1.1", HeadError::kNone, "other", "/?q"},
      {"GET http://[::1]:81/ HTTP/1.1", HeadError::kNone, "[::1]:81", "/"},
      {"OPTIONS * HTTP/1.1", HeadError::kNone, "a.example", "*"},
      {"GET /a? HTTP/1.1", HeadError::kNone, "a.example", "/a?"},
      {"GET /\xE6\xB5\x81.flv HTTP/1.1", HeadError::kNone, "a.example", "/\xE6\xB5\x81.flv"},
      {"GET //double HTTP/1.1", HeadError::kNone, "a.example", "//double"},
      {"GET * HTTP/1.1", HeadError::kBadTarget, "", ""},
      {"GET a.flv HTTP/1.1", HeadError::kBadTarget, "", ""},
      {"GET ftp://other/ HTTP/1.1", HeadError::kBadTarget, "", ""},
      {"GET http:///a HTTP/1.1", HeadError::kBadTarget, "", ""},
      {"GET http://user@other/ HTTP/1.1", HeadError::kBadTarget, "", ""},
      {"GET http://other:99999/ HTTP/1.1", HeadError::kBadTarget, "", ""},
      {"GET /a#b HTTP/1.1", HeadError::kBadTarget, "", ""},
      {"GET /a\x01 HTTP/1.1", HeadError::kBadTarget, "", ""},
      {"GET /a\x7f HTTP/1.1", HeadError::kBadTarget, "", ""},
      {"CONNECT a.example:443 HTTP/1.1", HeadError::kConnectRefused, "", ""},
      {"GET  / HTTP/1.1", HeadError::kBadLine, "", ""},
      {"GET /  HTTP/1.1", HeadError::kBadLine, "", ""},
      {"GET / HTTP/1.1 ", HeadError::kBadLine, "", ""},
      {"GET /a b HTTP/1.1", HeadError::kBadLine, "", ""},
      {"GET\t/ HTTP/1.1", HeadError::kBadLine, "", ""},
      {"G(T / HTTP/1.1", HeadError::kBadLine, "", ""},
      {" GET / HTTP/1.1", HeadError::kBadLine, "", ""},
      {"GET /", HeadError::kBadLine, "", ""},
      {"GET / http/1.1", HeadError::kBadLine, "", ""},
      {"GET / HTTP/11", HeadError::kBadLine, "", ""},
      {"GET / HTTP/2.0", HeadError::kBadVersion, "", ""},
      {"PRI * HTTP/2.0", HeadError::kBadVersion, "", ""},
      {"GET / HTTP/0.9", HeadError::kBadVersion, "", ""},
      {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH / HTTP/1.1", HeadError::kMethodTooLong, "", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.line);
    RequestParser parser;
    RequestHead head;
    const std::string text = std::string(row.line) + "\r\nHost: a.example\r\n\r\n";
    const ParseStatus status = parser.parse(text, head);
    CHECK(parser.error() == row.error);
    if (row.error != HeadError::kNone) continue;
    CHECK(status == ParseStatus::kComplete);
    CHECK(head.host == row.host);
    std::string target;
    head.append_target(target);
    CHECK(target == row.target);
  }
}

TEST_CASE("http head: fields and framing that are refused") {
  struct Row {
    std::string text;
    HeadError error;
    int status;
  };
  const std::string nul("A: b\0c\r\n", 8);
  const Row rows[] = {
      {get("A: b\r\n c\r\n"), HeadError::kFoldedField, 400},
      {"GET / HTTP/1.1\r\n A: b\r\nHost: a\r\n\r\n", HeadError::kFoldedField, 400},
      {get("A : b\r\n"), HeadError::kBadField, 400},
      {get("A\t: b\r\n"), HeadError::kBadField, 400},
      {get(": b\r\n"), HeadError::kBadField, 400},
      {get("noColon\r\n"), HeadError::kBadField, 400},
      {get("A(: b\r\n"), HeadError::kBadField, 400},
      {get(nul), HeadError::kBadField, 400},
      {get("A: b\x7f\r\n"), HeadError::kBadField, 400},
      {get("A: b\rc\r\n"), HeadError::kBadLineEnd, 400},
      {get("A: b\r\r\n"), HeadError::kBadLineEnd, 400},
      {get("A: b\nContent-Length: 5\r\n"), HeadError::kBadLineEnd, 400},
      {"GET / HTTP/1.1\nHost: a\n\n", HeadError::kBadLineEnd, 400},
      {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::kBadLineEnd, 400},
      {"GET / HTTP/1.1\r\n\r\n", HeadError::kBadHost, 400},
      {get("Host: a.example\r\n"), HeadError::kBadHost, 400},
      {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HeadError::kBadHost, 400},
      {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HeadError::kBadHost, 400},
      {"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", HeadError::kBadHost, 400},
      {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", HeadError::kBadHost, 400},
      {"GET / HTTP/1.1\r\nHost: a\"b\r\n\r\n", HeadError::kBadHost, 400},
      {get("Content-Length: 5\r\nContent-Length: 6\r\n"), HeadError::kBadContentLength, 400},
      {get("Content-Length: 5\r\nContent-Length: 5\r\n"), HeadError::kBadContentLength, 400},
      {get("Content-Length: 5, 5\r\n"), HeadError::kBadContentLength, 400},
      {get("Content-Length: +5\r\n"), HeadError::kBadContentLength, 400},
      {get("Content-Length: -5\r\n"), HeadError::kBadContentLength, 400},
      {get("Content-Length: 0x5\r\n"), HeadError::kBadContentLength, 400},
      {get("Content-Length:\r\n"), HeadError::kBadContentLength, 400},
      {get("Content-Length: 9223372036854775808\r\n"), HeadError::kBadContentLength, 400},
      {get("Content-Length: 99999999999999999999\r\n"), HeadError::kBadContentLength, 400},
      {get("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), HeadError::kLengthAndEncoding,
       400},
      {get("Transfer-Encoding: chunked, chunked\r\n"), HeadError::kBadEncoding, 400},
      {get("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n"), HeadError::kBadEncoding,
       400},
      {get("Transfer-Encoding: chunked, identity\r\n"), HeadError::kBadEncoding, 400},
      {get("Transfer-Encoding:\r\n"), HeadError::kBadEncoding, 400},
      {get("Transfer-Encoding: gzip, chunked\r\n"), HeadError::kUnknownEncoding, 501},
      {get("Transfer-Encoding: identity\r\n"), HeadError::kUnknownEncoding, 501},
      {get("Transfer-Encoding: xchunked\r\n"), HeadError::kUnknownEncoding, 501},
      {get("Transfer-Encoding: \"chunked\"\r\n"), HeadError::kUnknownEncoding, 501},
      {get("Transfer-Encoding: \x0b"
           "chunked\r\n"),
       HeadError::kBadField, 400},
      {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HeadError::kBadEncoding, 400},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const HeadError error = request_error(row.text);
    CHECK(to_string(error) == to_string(row.error));
    CHECK(status_of(error) == row.status);
  }
}

TEST_CASE("http head: request bodies, connection, expectation") {
  RequestParser parser;
  RequestHead head;
  const auto parse = [&](const std::string& text) {
    REQUIRE(parser.parse(text, head) == ParseStatus::kComplete);
  };
  const std::string chunked = get("Transfer-Encoding: Chunked\r\n");
  parse(chunked);
  CHECK(head.body.framing == Framing::kChunked);
  const std::string length = get("Content-Length: 0012\r\nExpect: 100-Continue\r\n");
  parse(length);
  CHECK(head.body.framing == Framing::kLength);
  CHECK(head.body.length == 12);
  CHECK(head.expect_continue);
  const std::string close = get("Connection: x, CLOSE\r\n");
  parse(close);
  CHECK_FALSE(head.keep_alive);
  CHECK_FALSE(head.expect_continue);
  const std::string upgrade = get("Connection: Upgrade\r\nUpgrade: websocket\r\n");
  parse(upgrade);
  CHECK(head.upgrade);
  const std::string old = "GET / HTTP/1.0\r\n\r\n";
  parse(old);
  CHECK_FALSE(head.keep_alive);
  CHECK(head.host.empty());
  const std::string old_keep = "\r\nGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  parse(old_keep);
  CHECK(head.keep_alive);
  CHECK(head.consumed == old_keep.size());
}

TEST_CASE("http head: limits") {
  const std::string long_target = "GET /" + std::string(8192, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
  CHECK(request_error(long_target) == HeadError::kTargetTooLong);
  CHECK(request_error("GET /" + std::string(9000, 'a')) == HeadError::kTargetTooLong);
  const std::string fits = "GET /" + std::string(8191, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
  CHECK(request_error(fits) == HeadError::kNone);
  CHECK(request_error(get("A: " + std::string(16384, 'a') + "\r\n")) == HeadError::kHeadTooLarge);
  std::string endless = "GET / HTTP/1.1\r\nHost: a\r\n";
  while (endless.size() < 16384) endless += "a: b\r\n";
  CHECK(request_error(endless) == HeadError::kHeadTooLarge);
  std::string many;
  for (int i = 0; i < 99; ++i) many += "A: b\r\n";
  CHECK(request_error(get(many)) == HeadError::kNone);
  CHECK(request_error(get(many + "A: b\r\n")) == HeadError::kTooManyFields);
  // What is after the head doesn't count, however much of it is there.
  CHECK(request_error(get("") + std::string(100000, '\n')) == HeadError::kNone);
  // Exactly the limit.
  const std::size_t rest = 16384 - get("A: \r\n").size();
  CHECK(request_error(get("A: " + std::string(rest, 'a') + "\r\n")) == HeadError::kNone);
  CHECK(request_error(get("A: " + std::string(rest + 1, 'a') + "\r\n")) ==
        HeadError::kHeadTooLarge);
}

TEST_CASE("http head: what is not HTTP is refused at its first byte or line") {
  RequestHead head;
  CHECK(RequestParser().parse("\x16", head) == ParseStatus::kInvalid);
  CHECK(RequestParser().parse("{", head) == ParseStatus::kInvalid);
  CHECK(RequestParser().parse("GET / HTTP/3.0\r\n", head) == ParseStatus::kInvalid);
  CHECK(RequestParser().parse("GET / HTTP/1.1\r\n", head) == ParseStatus::kNeedMore);
  CHECK(RequestParser().parse("", head) == ParseStatus::kNeedMore);
  ResponseHead response;
  CHECK(ResponseParser().parse("HTT", Method::kGet, response) == ParseStatus::kNeedMore);
  CHECK(ResponseParser().parse("HTX", Method::kGet, response) == ParseStatus::kInvalid);
}

TEST_CASE("http head: response framing") {
  struct Row {
    const char* line;
    const char* fields;
    Method request;
    Framing framing;
    std::uint64_t length;
    bool keep_alive;
  };
  const char* const kLength = "Content-Length: 7\r\n";
  const char* const kChunked = "Transfer-Encoding: chunked\r\n";
  const Row rows[] = {
      {"HTTP/1.1 200 OK", kLength, Method::kGet, Framing::kLength, 7, true},
      {"HTTP/1.1 200 OK", kLength, Method::kHead, Framing::kNone, 0, true},
      {"HTTP/1.1 200 OK", kChunked, Method::kGet, Framing::kChunked, 0, true},
      {"HTTP/1.1 200 OK", kChunked, Method::kHead, Framing::kNone, 0, true},
      {"HTTP/1.1 200 OK", "", Method::kGet, Framing::kUntilClose, 0, false},
      {"HTTP/1.0 200 OK", kLength, Method::kGet, Framing::kLength, 7, false},
      {"HTTP/1.0 200 OK", "Content-Length: 7\r\nConnection: Keep-Alive\r\n", Method::kGet,
       Framing::kLength, 7, true},
      {"HTTP/1.0 200 OK", "Connection: keep-alive\r\n", Method::kGet, Framing::kUntilClose, 0,
       false},
      {"HTTP/1.1 304 Not Modified", kLength, Method::kGet, Framing::kNone, 0, true},
      {"HTTP/1.1 204 No Content", "", Method::kDelete, Framing::kNone, 0, true},
      {"HTTP/1.1 100 Continue", "", Method::kPost, Framing::kNone, 0, true},
      {"HTTP/1.1 101 Switching Protocols", "", Method::kGet, Framing::kTunnel, 0, false},
      {"HTTP/1.1 200", kLength, Method::kGet, Framing::kLength, 7, true},
      {"HTTP/1.1 200 ", kLength, Method::kGet, Framing::kLength, 7, true},
      {"HTTP/1.1 404 \xC3\xA4 b", "Content-Length: 0\r\nConnection: close\r\n", Method::kGet,
       Framing::kLength, 0, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.line);
    CAPTURE(row.fields);
    const std::string text = std::string(row.line) + "\r\n" + row.fields + "\r\n";
    ResponseParser parser;
    ResponseHead head;
    REQUIRE(parser.parse(text, row.request, head) == ParseStatus::kComplete);
    CHECK(head.body.framing == row.framing);
    CHECK(head.body.length == row.length);
    CHECK(head.keep_alive == row.keep_alive);
    CHECK(head.consumed == text.size());
    CHECK(head.content_length.has_value() == head.fields.has(HeaderId::kContentLength));
  }
}

TEST_CASE("http head: responses that are refused") {
  struct Row {
    const char* text;
    HeadError error;
  };
  const Row rows[] = {
      {"HTTP/1.1 20 OK\r\n\r\n", HeadError::kBadLine},
      {"HTTP/1.1 2000 OK\r\n\r\n", HeadError::kBadLine},
      {"HTTP/1.1 099 OK\r\n\r\n", HeadError::kBadLine},
      {"HTTP/1.1  200 OK\r\n\r\n", HeadError::kBadLine},
      {"HTTP/2.0 200 OK\r\n\r\n", HeadError::kBadVersion},
      {"ICY 200 OK\r\n\r\n", HeadError::kBadLine},
      {"HTTP/1.1 200 O\x01K\r\n\r\n", HeadError::kBadLine},
      {"HTTP/1.1 200 OK\nA: b\n\n", HeadError::kBadLineEnd},
      {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", HeadError::kFoldedField},
      {"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", HeadError::kBadField},
      {"HTTP/1.1 200 OK\r\n : c\r\n\r\n", HeadError::kFoldedField},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
       HeadError::kBadContentLength},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       HeadError::kLengthAndEncoding},
      {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HeadError::kBadEncoding},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", HeadError::kUnknownEncoding},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CHECK(to_string(response_error(row.text)) == to_string(row.error));
  }
}

TEST_CASE("http head: white space before a response's colon goes, a request with it is refused") {
  ResponseParser parser;
  ResponseHead head;
  const std::string text = "HTTP/1.1 200 OK\r\nX-Name : y\r\nContent-Length\t :  5\r\n\r\n";
  REQUIRE(parser.parse(text, Method::kGet, head) == ParseStatus::kComplete);
  CHECK(head.fields.all()[0].name == "X-Name");
  CHECK(head.fields.all()[0].value == "y");
  CHECK(head.body.length == 5);
}

TEST_CASE("http head: the cut of the input doesn't matter, and buffers may move between calls") {
  const std::string texts[] = {
      get("Content-Length: 5\r\nCookie: a\r\n") + "helloGET",
      "\r\n" + get(""),
      get("A : b\r\n"),
      get("A: b\n"),
      "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
  };
  for (const std::string& text : texts) {
    RequestParser whole;
    RequestHead expected;
    const ParseStatus status = whole.parse(text, expected);
    for (std::size_t step = 1; step <= text.size(); ++step) {
      RequestParser parser;
      RequestHead head;
      ParseStatus now = ParseStatus::kNeedMore;
      std::string buffer;
      for (std::size_t n = step; now == ParseStatus::kNeedMore && n < text.size() + step;
           n += step) {
        buffer = std::string(text.substr(0, n));  // another place each time
        now = parser.parse(buffer, head);
      }
      CHECK(now == status);
      if (status != ParseStatus::kComplete) continue;
      CHECK(head.consumed == expected.consumed);
      CHECK(head.path == expected.path);
      CHECK(head.host == expected.host);
      CHECK(head.fields.size() == expected.fields.size());
      CHECK(head.body.length == expected.body.length);
    }
  }
}

TEST_CASE("http head: pipelined requests with one parser") {
  std::string buffer = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\nGET /3";
  RequestParser parser;
  RequestHead head;
  REQUIRE(parser.parse(buffer, head) == ParseStatus::kComplete);
  CHECK(head.path == "/1");
  buffer.erase(0, head.consumed);
  REQUIRE(parser.parse(buffer, head) == ParseStatus::kComplete);
  CHECK(head.path == "/2");
  CHECK(head.fields.get(HeaderId::kHost) == "b");
  CHECK(head.fields.size() == 1);
  buffer.erase(0, head.consumed);
  CHECK(parser.parse(buffer, head) == ParseStatus::kNeedMore);
}

TEST_CASE("http head writer: end-to-end fields only") {
  const std::string text =
      get("Connection: close, X-Secret, Content-Length\r\nX-Secret: 1\r\nTE: trailers\r\n"
          "Keep-Alive: 5\r\nContent-Length: 3\r\nAccept: */*\r\nX-Forwarded-For: 6.6.6.6\r\n"
          "Upgrade: x\r\nCookie: c\r\n");
  RequestParser parser;
  RequestHead head;
  REQUIRE(parser.parse(text, head) == ParseStatus::kComplete);
  std::string out = "before|";
  HeadWriter writer(out);
  writer.request("GET", "/x?y").field(HeaderId::kHost, "origin");
  writer.copy_end_to_end(head.fields, kForwardingFields | FieldSet{HeaderId::kHost});
  writer.body(head.body);
  REQUIRE(writer.finish());
  CHECK(out ==
        "before|GET /x?y HTTP/1.1\r\nHost: origin\r\nAccept: */*\r\nCookie: c\r\n"
        "Content-Length: 3\r\n\r\n");
}

TEST_CASE("http head writer: injection takes the whole head back") {
  const std::string nul("a\0b", 3);
  const std::string bad[] = {"a\r\nB: c", "a\rb", "a\nb", nul, "a\x7f"};
  for (const std::string& value : bad) {
    std::string out = "x";
    CHECK_FALSE(HeadWriter(out).response(200).field("A", value).finish());
    CHECK(out == "x");
    CHECK_FALSE(HeadWriter(out).response(200, value).finish());
    CHECK_FALSE(HeadWriter(out).response(200).field(value, "v").finish());
    CHECK_FALSE(HeadWriter(out).request("GET", "/" + value).finish());
    CHECK(out == "x");
  }
  std::string out;
  CHECK_FALSE(HeadWriter(out).request("GET", "/a b").finish());
  CHECK_FALSE(HeadWriter(out).request("G T", "/").finish());
  CHECK_FALSE(HeadWriter(out).response(20).finish());
  CHECK_FALSE(HeadWriter(out).response(200).field("", "v").finish());
  CHECK_FALSE(HeadWriter(out).response(200).field(HeaderId::kOther, 5).finish());
  CHECK(out.empty());
  HeadWriter ok(out);
  ok.response(404).field(HeaderId::kContentLength, 0);
  CHECK(ok.finish());
  CHECK(out == "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}

}  // namespace weir::http
