// What an origin's answer says about whether it has a stream: each in one piece and byte by byte.
#include "workers/http/search_answer_session.h"

#include <doctest/doctest.h>

#include <string>

namespace {

using weir::as_bytes;
using weir::http::Method;
using weir::http::SearchAnswer;
using weir::http::StreamKind;
using W = weir::route::SearchWord;

const std::string kFlv("FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00", 13);
const std::string kOk = "HTTP/1.1 200 OK\r\n";

std::string sized(const std::string& body, const std::string& fields = {}) {
  return kOk + fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

W judge(StreamKind kind, const std::string& text, bool ended = false,
        Method method = Method::kGet) {
  SearchAnswer whole(kind, method);
  W word = whole.take(as_bytes(text));
  if (ended && word == W::kSilent) word = whole.end(true);
  SearchAnswer pieces(kind, method);
  W bytewise = W::kSilent;
  for (std::size_t i = 0; i < text.size() && bytewise == W::kSilent; ++i) {
    bytewise = pieces.take(as_bytes(std::string_view(text).substr(i, 1)));
  }
  if (ended && bytewise == W::kSilent) bytewise = pieces.end(true);
  CHECK(bytewise == word);
  return word;
}

}  // namespace

TEST_CASE("search answer: by status") {
  const auto of = [](const char* line) {
    return judge(StreamKind::kPass,
                 std::string("HTTP/1.1 ") + line + "\r\nContent-Length: 0\r\n\r\n");
  };
  CHECK(of("404 Not Found") == W::kNo);
  CHECK(of("410 Gone") == W::kNo);
  CHECK(of("200 OK") == W::kYes);
  CHECK(of("206 Partial Content") == W::kYes);
  CHECK(of("304 Not Modified") == W::kYes);
  CHECK(of("416 Range Not Satisfiable") == W::kYes);
  CHECK(of("302 Found") == W::kElse);
  CHECK(of("401 Unauthorized") == W::kElse);
  CHECK(of("403 Forbidden") == W::kElse);
  CHECK(of("204 No Content") == W::kElse);
  CHECK(of("429 Too Many Requests") == W::kUnreachable);
  CHECK(of("500 Error") == W::kUnreachable);
  CHECK(of("503 Busy") == W::kUnreachable);
  CHECK(judge(StreamKind::kPass, "nonsense\r\n\r\n") == W::kUnreachable);
  CHECK(judge(StreamKind::kPass,
              "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n") ==
        W::kNo);
  CHECK(judge(StreamKind::kPass, "HTTP/1.1 2", true) == W::kUnreachable);
  CHECK(judge(StreamKind::kPass, std::string(70000, 'x')) == W::kUnreachable);
}

TEST_CASE("search answer: playlists and manifests are looked into") {
  const StreamKind hls = StreamKind::kPlaylist;
  CHECK(judge(hls, sized("#EXTM3U\n#EXTINF:2,\na.ts\n")) == W::kYes);
  CHECK(judge(hls, sized("\xEF\xBB\xBF#EXTM3U\n")) == W::kYes);
  CHECK(
      judge(hls, kOk + "Transfer-Encoding: chunked\r\n\r\n3\r\n#EX\r\n5\r\nTM3U\n\r\n0\r\n\r\n") ==
      W::kYes);
  CHECK(judge(hls, kOk + "\r\n#EXT") == W::kSilent);
  CHECK(judge(hls, kOk + "\r\n#EXT", true) == W::kElse);
  CHECK(judge(hls, sized("welcome to nowhere")) == W::kElse);
  CHECK(judge(hls, sized("")) == W::kElse);
  CHECK(judge(hls, sized("#EXTM3U\n", "Content-Type: text/html\r\n")) == W::kElse);
  CHECK(judge(hls, kOk + "Content-Length: 900\r\n\r\n", false, Method::kHead) == W::kYes);
  const std::string old =
      "Date: Fri, 27 Nov 2026 08:00:00 GMT\r\nLast-Modified: Fri, 27 Nov 2026 07:00:00 GMT\r\n";
  const std::string fresh =
      "Date: Fri, 27 Nov 2026 08:00:00 GMT\r\nLast-Modified: Fri, 27 Nov 2026 07:59:55 GMT\r\n";
  CHECK(judge(hls, sized("#EXTM3U\n", old)) == W::kDoubtful);
  CHECK(judge(hls, sized("#EXTM3U\n", fresh)) == W::kYes);
  CHECK(judge(StreamKind::kManifest, sized("<?xml version=\"1.0\"?>\n<MPD>")) == W::kYes);
  CHECK(judge(StreamKind::kManifest, sized("{\"code\":404}")) == W::kElse);
  CHECK(judge(StreamKind::kManifest, kOk + "\r\n" + std::string(2000, ' ')) == W::kElse);
}

TEST_CASE("search answer: live streams begin with media") {
  const StreamKind live = StreamKind::kLive;
  const std::string head = kOk + "Content-Type: video/x-flv\r\n\r\n";
  CHECK(judge(live, head) == W::kSilent);         // a promise
  CHECK(judge(live, head + kFlv) == W::kSilent);  // still one
  CHECK(judge(live, head + kFlv + "\x09") == W::kYes);
  CHECK(judge(live, head + kFlv, true) == W::kElse);
  const std::string chunked = kOk + "Transfer-Encoding: chunked\r\n\r\nd\r\n" + kFlv + "\r\n";
  CHECK(judge(live, chunked) == W::kSilent);
  CHECK(judge(live, chunked + "1\r\n\x09\r\n") == W::kYes);
  CHECK(judge(live, sized("segment of a playlist")) == W::kYes);
  CHECK(judge(live, head, false, Method::kHead) == W::kYes);
  CHECK(judge(live, kOk + "Content-Type: text/html\r\n\r\n<html>") == W::kElse);
  const std::string upgrade =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  CHECK(judge(live, upgrade) == W::kSilent);
  CHECK(judge(live, upgrade + "\x82\x0e" + kFlv + "\x09") == W::kYes);
}

TEST_CASE("search answer: which connection can be used again") {
  const auto reusable = [](const std::string& text) {
    SearchAnswer answer(StreamKind::kPass, Method::kGet);
    CHECK(answer.take(as_bytes(text)) == W::kNo);
    return answer.reusable();
  };
  CHECK(reusable("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno"));
  CHECK_FALSE(reusable("HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nno"));
  CHECK_FALSE(reusable("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nnot"));
  CHECK_FALSE(reusable("HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"));
  CHECK_FALSE(reusable("HTTP/1.1 404 No\r\n\r\nno"));
}
