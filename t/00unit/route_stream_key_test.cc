// The stream key: one table for all protocols.
#include <doctest/doctest.h>

#include <string>

#include "common/base/limits.h"
#include "common/route/stream_key.h"

namespace weir::route {
namespace {

struct RtmpCase {
  const char* tc_url;
  const char* app;
  const char* stream;
  const char* key;
};
constexpr RtmpCase kRtmp[] = {
    {"rtmp://media.example.com/live", "live", "cam", "media.example.com/live/cam"},
    {"rtmp://media.example.com:1935/live", "live", "cam", "media.example.com/live/cam"},
    {"rtmps://Media.Example.COM./live/", "live/", "cam", "media.example.com/live/cam"},
    {"rtmp://192.0.2.1:1935/live", "live", "cam", "__defaultVhost__/live/cam"},
    {"rtmp://[2001:db8::1]:1935/live", "live", "cam", "__defaultVhost__/live/cam"},
    {"rtmp://[::1]/live", "live", "cam", "__defaultVhost__/live/cam"},
    {"rtmp://localhost/live", "live", "cam", "__defaultVhost__/live/cam"},
    {"rtmp:///live", "live", "cam", "__defaultVhost__/live/cam"},
    {"", "live", "cam", "__defaultVhost__/live/cam"},
    {"rtmp://user:pw@a.example.com/live", "live", "cam", "a.example.com/live/cam"},
    {"rtmp://1.2.3.4/live?vhost=a.example.com", "live?vhost=a.example.com", "cam",
     "a.example.com/live/cam"},
    {"rtmp://1.2.3.4/live?x=1&domain=b.example.com&y=2", "live", "cam", "b.example.com/live/cam"},
    {"rtmp://1.2.3.4/live?vhost=single", "live", "cam", "single/live/cam"},
    {"rtmp://1.2.3.4/live?vhost=5.6.7.8", "live", "cam", "__defaultVhost__/live/cam"},
    {"rtmp://c.example.com/live?vhost=__defaultVhost__", "live", "cam",
     "__defaultVhost__/live/cam"},
    {"rtmp://1.2.3.4/live", "live?vhost=app.example.com&t=1", "cam", "app.example.com/live/cam"},
    {"rtmp://1.2.3.4/live", "live", "cam?token=x&vhost=s.example.com", "s.example.com/live/cam"},
    {"rtmp://1.2.3.4/live?vhost=a%2Eexample.com", "live", "cam", "a.example.com/live/cam"},
    {"rtmp://1.2.3.4/live?vhost=a.example.com:1935/cam", "live", "cam", "a.example.com/live/cam"},
    {"rtmp://h.example.com/a/b/c", "a/b/c", "cam", "h.example.com/a/b/c/cam"},
    {"rtmp://h.example.com/a", "a", "b/c/cam?q=1/2", "h.example.com/a/b/c/cam"},
    {"rtmp://h.example.com/a", "", "cam", "h.example.com/a/cam"},
    {"rtmp://h.example.com/a?token=1/2/3", "", "cam", "h.example.com/a/cam"},
    {"rtmp://h.example.com/live", "live", "a.b", "h.example.com/live/a.b"},
    {"rtmp://h.example.com/live", "live", "cam.flv", "h.example.com/live/cam.flv"},
    {"rtmp://h.example.com/live", "live", "a%20b%252F", "h.example.com/live/a b%2F"},
    {"rtmp://h.example.com/live", "live", "100%", "h.example.com/live/100%"},
    {"rtmp://h.example.com/live", "live", "%zz%4", "h.example.com/live/%zz%4"},
    {"rtmp://h.example.com/live", "/live//", "//cam", "h.example.com/live/cam"},
};

TEST_CASE("RTMP addresses") {
  for (const RtmpCase& c : kRtmp) {
    CAPTURE(c.tc_url);
    CAPTURE(c.app);
    CAPTURE(c.stream);
    const StreamKey key = from_rtmp(c.tc_url, c.app, c.stream);
    CHECK(key.ok());
    CHECK(key.text == c.key);
  }
}

struct HttpCase {
  const char* host;
  const char* path;
  const char* query;
  const char* key;
};
constexpr HttpCase kHttp[] = {
    {"h.example.com:8080", "/live/cam.flv", "", "h.example.com/live/cam"},
    {"h.example.com", "/live/cam.m3u8", "hls_ctx=1", "h.example.com/live/cam"},
    {"h.example.com", "/live/cam.TS", "", "h.example.com/live/cam"},
    {"h.example.com", "/live/cam.aac", "", "h.example.com/live/cam"},
    {"h.example.com", "/live/cam.mp3", "", "h.example.com/live/cam"},
    {"h.example.com", "/live/cam.mpd", "", "h.example.com/live/cam"},
    {"h.example.com", "/live/a.b.flv", "", "h.example.com/live/a.b"},
    {"h.example.com", "/live/cam.txt", "", "h.example.com/live/cam.txt"},
    {"1.2.3.4:8080", "/a/b/cam.flv", "vhost=v.example.com&t=1", "v.example.com/a/b/cam"},
    {"[::1]:8080", "/live/cam.flv", "", "__defaultVhost__/live/cam"},
    {"proxy", "/live/cam.flv", "", "__defaultVhost__/live/cam"},
    {"", "/live/a%20b.flv", "", "__defaultVhost__/live/a b"},
};

TEST_CASE("HTTP addresses") {
  for (const HttpCase& c : kHttp) {
    CAPTURE(c.host);
    CAPTURE(c.path);
    const StreamKey key = from_http_path(c.host, c.path, c.query);
    CHECK(key.ok());
    CHECK(key.text == c.key);
  }
}

struct BadCase {
  const char* host;
  const char* app;
  const char* stream;
  KeyError error;
};
constexpr BadCase kBad[] = {
    {"h.example.com", "live", "", KeyError::kEmptyStream},
    {"h.example.com", "live", "?token=1", KeyError::kEmptyStream},
    {"h.example.com", "live", "cam/", KeyError::kEmptyStream},
    {"h.example.com", "", "cam", KeyError::kEmptyApp},
    {"h.example.com", "//", "cam", KeyError::kEmptyApp},
    {"h.example.com", "a//b", "cam", KeyError::kBadSegment},
    {"h.example.com", "a", "b//cam", KeyError::kBadSegment},
    {"h.example.com", "a/..", "cam", KeyError::kBadSegment},
    {"h.example.com", "a", "..", KeyError::kBadSegment},
    {"h.example.com", "a", "%2e%2E", KeyError::kBadSegment},
    {"h.example.com", ".", "cam", KeyError::kBadSegment},
    {"h.example.com", "a", "c\x01m", KeyError::kControlByte},
    {"h.example.com", "a", "c%00m", KeyError::kControlByte},
    {"h.example.com", "a\x7f", "cam", KeyError::kControlByte},
    {"h.example.com", "a", "b%2Fcam", KeyError::kBadEscape},
    {"h.example.com", "a?vhost=x/../y%2Fz", "cam", KeyError::kNone},
    {"h.exam ple.com", "a", "cam", KeyError::kBadHost},
    {"h.example.com", "a?vhost=x%2Fy", "cam", KeyError::kBadHost},
    {"h.example.com", "a?vhost=..", "cam", KeyError::kNone},
    {"[h.example.com", "a", "cam", KeyError::kBadHost},
};

TEST_CASE("refusals have a reason") {
  for (const BadCase& c : kBad) {
    CAPTURE(c.host);
    CAPTURE(c.app);
    CAPTURE(c.stream);
    KeyParts parts;
    parts.host = c.host;
    parts.app = c.app;
    parts.stream = c.stream;
    const StreamKey key = make_stream_key(parts);
    CHECK(to_string(key.error) == to_string(c.error));
    CHECK(key.ok() == !key.text.empty());
  }
}

TEST_CASE("the length is bounded") {
  const std::string app(200, 'a');
  const std::string fits(limits::kStreamKeyBytes - 200 - kDefaultVhost.size() - 2, 's');
  CHECK(from_rtmp("", app, fits).text.size() == limits::kStreamKeyBytes);
  CHECK(from_rtmp("", app, fits + "s").error == KeyError::kTooLong);
  CHECK(from_rtmp("", std::string(1000, 'a'), "s").error == KeyError::kTooLong);
  const std::string host = "a." + std::string(600, 'b');
  CHECK(from_rtmp("rtmp://" + host + "/a", "a", "s").error == KeyError::kTooLong);
}

TEST_CASE("the parts of a key") {
  const StreamKey key = from_rtmp("rtmp://h.example.com/a/b", "a/b", "cam?x=1");
  CHECK(key.vhost() == "h.example.com");
  CHECK(key.app() == "a/b");
  CHECK(key.stream() == "cam");
}

TEST_CASE("names that an origin's API tells make the key of whoever asks for them") {
  struct Row {
    const char* vhost;
    const char* app;
    const char* stream;
    const char* key;  // or the error
  };
  const Row rows[] = {
      {"", "live", "cam", "__defaultVhost__/live/cam"},
      {"__defaultVhost__", "live", "cam", "__defaultVhost__/live/cam"},
      {"Cam.Example.com", "live", "cam", "cam.example.com/live/cam"},
      {"single", "live", "cam", "single/live/cam"},
      {"", "a/b", "c/d", "__defaultVhost__/a/b/c/d"},
      {"", "", "a/b", "__defaultVhost__/a/b"},
      {"", "live", "a%20b?c=1&vhost=x", "__defaultVhost__/live/a%20b?c=1&vhost=x"},
      {"", "live", "cam.flv", "__defaultVhost__/live/cam.flv"},
      {"", "live", "<b>\xC3\xA9\"", "__defaultVhost__/live/<b>\xC3\xA9\""},
      {"", "live", "", "empty_stream"},
      {"", "live", "/", "empty_stream"},
      {"", "live", "a/", "empty_stream"},
      {"", "/", "cam", "empty_app"},
      {"", "live", "..", "bad_segment"},
      {"", "a//b", "cam", "bad_segment"},
      {"", "live", "a\nb", "control_byte"},
      {"", "live", "a\tb", "control_byte"},
      {"a%2e", "live", "cam", "bad_host"},
      {"a b", "live", "cam", "bad_host"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.key);
    const StreamKey key = from_names(row.vhost, row.app, row.stream);
    CHECK((key.ok() ? std::string_view(key.text) : to_string(key.error)) == row.key);
  }
  const std::size_t fits = limits::kStreamKeyBytes - kDefaultVhost.size() - 6;
  CHECK(from_names("", "live", std::string(fits, 'x')).ok());
  CHECK(from_names("", "live", std::string(fits + 1, 'x')).error == KeyError::kTooLong);
  const StreamKey key = from_names("", "a/b", "c/d");
  CHECK(key.app() == "a/b/c");
  CHECK(key.stream() == "d");
}

TEST_CASE("the same stream has one key over RTMP and HTTP") {
  for (const char* host : {"h.example.com", "h.example.com:80", "1.2.3.4", "localhost:1"}) {
    const std::string url = std::string("rtmp://") + host + "/live";
    CHECK(from_rtmp(url, "live", "cam").text == from_http_path(host, "/live/cam.flv", "").text);
  }
}

}  // namespace
}  // namespace weir::route
