#include <doctest/doctest.h>

#include <string>

#include "common/proto/http/collected_response.h"

using namespace weir;
using http::CollectedResponse;
using http::Method;

namespace {

// Feeds the text in pieces of this size; the status of the last one.
ParseStatus feed(CollectedResponse& response, std::string_view text, std::size_t piece) {
  ParseStatus status = ParseStatus::kNeedMore;
  while (!text.empty() && status == ParseStatus::kNeedMore) {
    const std::string_view part = text.substr(0, piece);
    status = response.feed(as_bytes(part));
    text.remove_prefix(part.size());
  }
  return status;
}

}  // namespace

TEST_CASE("whole responses however they are framed and split") {
  const std::string_view texts[] = {
      "HTTP/1.1 201 Created\r\nContent-Length: 5\r\nETag: \"e\"\r\n\r\nhello",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nETag: \"e\"\r\nContent-Length: "
      "5\r\n\r\nhello",
      "HTTP/1.1 201 Created\r\nETag: \"e\"\r\nTransfer-Encoding: "
      "chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
  };
  for (const std::string_view text : texts) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, text.size()}) {
      CollectedResponse response(Method::kPost, 100);
      CHECK(feed(response, text, piece) == ParseStatus::kComplete);
      CHECK(response.head().status == 201);
      CHECK(response.head().fields.get(http::HeaderId::kEtag) == "\"e\"");
      CHECK(response.body() == "hello");
    }
  }
  CollectedResponse open(Method::kPost, 100);
  CHECK(feed(open, "HTTP/1.1 200 OK\r\n\r\nhel", 4) == ParseStatus::kNeedMore);
  CHECK(open.on_close() == ParseStatus::kComplete);
  CHECK(open.body() == "hel");
  CollectedResponse none(Method::kDelete, 100);
  CHECK(feed(none, "HTTP/1.1 204 No Content\r\n\r\n", 100) == ParseStatus::kComplete);
}

TEST_CASE("a connection that may be used again") {
  struct Row {
    std::string_view text;
    bool reusable;
  };
  const Row rows[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0", true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
      {"HTTP/1.1 204 No Content\r\n\r\n", true},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\n0\r\n\r\n", true},
      {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n0", false},
      {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n0", false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n00", false},
      {"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK", false},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n0", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CollectedResponse response(Method::kPost, 10);
    CHECK(response.feed(as_bytes(row.text)) == ParseStatus::kComplete);
    CHECK(response.reusable() == row.reusable);
  }
  CollectedResponse open(Method::kPost, 10);
  CHECK(open.feed(as_bytes(std::string_view("HTTP/1.1 200 OK\r\n\r\n"))) == ParseStatus::kNeedMore);
  CHECK(open.on_close() == ParseStatus::kComplete);
  CHECK_FALSE(open.reusable());
}

TEST_CASE("whether it has begun") {
  CollectedResponse response(Method::kPost, 10);
  CHECK_FALSE(response.begun());
  CHECK(response.feed(as_bytes(std::string_view("HTTP/1.1 102 Wait\r\n\r\n"))) ==
        ParseStatus::kNeedMore);
  CHECK(response.begun());
  CHECK_FALSE(response.has_head());
}

TEST_CASE("responses that cannot be used") {
  struct Row {
    std::string_view text;
    std::string_view error;
  };
  const Row rows[] = {
      {"SSH-2.0\r\n\r\n", "answer is no HTTP"},
      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
       "answer is no HTTP"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", "answer is too large"},
      {"HTTP/1.1 200 OK\r\n\r\n01234567890", "answer is too large"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n",
       "answer is too large"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "answer is no HTTP"},
  };
  for (const Row& row : rows) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{1000}}) {
      CAPTURE(row.text);
      CollectedResponse response(Method::kPost, 10);
      CHECK(feed(response, row.text, piece) == ParseStatus::kInvalid);
      CHECK(response.error() == row.error);
      CHECK(response.detail().empty() == (row.error == "answer is too large"));
    }
  }
  CollectedResponse cut(Method::kPost, 10);
  CHECK(feed(cut, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", 100) ==
        ParseStatus::kNeedMore);
  CHECK(cut.on_close() == ParseStatus::kInvalid);
}

TEST_CASE("interim heads have an end") {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "HTTP/1.1 102 Processing\r\n\r\n";
  text += "HTTP/1.1 204 No Content\r\n\r\n";
  for (const std::size_t piece : {std::size_t{1}, std::size_t{500}, text.size()}) {
    CollectedResponse response(Method::kPost, 10);
    CHECK(feed(response, text, piece) == ParseStatus::kInvalid);
    CHECK(response.error() == "answer is too large");
  }
}
