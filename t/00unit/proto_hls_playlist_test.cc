// HLS playlists: which URIs get the pin, and that nothing else changes.
#include <doctest/doctest.h>

#include <array>
#include <string>

#include "common/proto/hls/playlist.h"

namespace weir::hls {
namespace {

constexpr std::array<std::string_view, 2> kAuthorities = {"10.0.0.7:8080", "media.example.com"};

// The pin names its scope, so that a test sees for which directory it was made.
RewriteOptions options_for(std::string_view path) {
  RewriteOptions options;
  options.path = path;
  options.authorities = kAuthorities;
  options.pin_for = [](std::string_view scope) { return "P-" + std::string(scope); };
  return options;
}

std::string rewritten(std::string_view text, const RewriteOptions& options) {
  std::string out;
  CHECK(rewrite_playlist(as_bytes(text), options, out) == RewriteStatus::kOk);
  return out;
}

std::string uri_line(std::string_view uri, const RewriteOptions& options) {
  const std::string out = rewritten("#EXTM3U\n" + std::string(uri) + "\n", options);
  REQUIRE(out.starts_with("#EXTM3U\n"));
  REQUIRE(out.ends_with('\n'));
  return out.substr(8, out.size() - 9);
}

struct UriCase {
  const char* in;
  const char* out;
};
// In /live/cam.m3u8, pin `P-live`.
constexpr UriCase kUris[] = {
    {"cam-0.ts", "cam-0.ts?weir=P-live"},
    {"cam/0.m4s", "cam/0.m4s?weir=P-live"},
    {"./0.ts", "./0.ts?weir=P-live"},
    {"../live/0.ts", "../live/0.ts?weir=P-live"},
    {"../other/0.ts", "../other/0.ts?weir=P-other"},
    {"../0.ts", "../0.ts?weir=P-"},
    {"../../../vod/a/0.ts", "../../../vod/a/0.ts?weir=P-vod"},
    {"/live/0.ts", "/live/0.ts?weir=P-live"},
    {"/keys/cam/0.key", "/keys/cam/0.key?weir=P-keys"},
    {"/0.ts", "/0.ts?weir=P-"},
    {"?x=1", "?x=1&weir=P-live"},
    // Queries and fragments.
    {"0.ts?", "0.ts?weir=P-live"},
    {"0.ts?a=b", "0.ts?a=b&weir=P-live"},
    {"0.ts?a=b&", "0.ts?a=b&weir=P-live"},
    {"0.ts?a=b&&c", "0.ts?a=b&&c&weir=P-live"},
    {"0.ts#t=3", "0.ts?weir=P-live#t=3"},
    {"0.ts?a=b#t?x", "0.ts?a=b&weir=P-live#t?x"},
    {"0.ts?u=http://x/y", "0.ts?u=http://x/y&weir=P-live"},
    {"/live/cam.m3u8?hls_ctx=8k2j&token=a%20b",
     "/live/cam.m3u8?hls_ctx=8k2j&token=a%20b&weir=P-live"},
    // A pin that is there already: ours, another's, more than one.
    {"0.ts?weir=old", "0.ts?weir=old&weir=P-live"},
    {"0.ts?weir", "0.ts?weir&weir=P-live"},
    {"0.ts?weir=old&a=b", "0.ts?weir=old&a=b&weir=P-live"},
    {"0.ts?a=b&weir=old&c=d&weir=older", "0.ts?a=b&weir=old&c=d&weir=older&weir=P-live"},
    {"0.ts?weird=1&xweir=2", "0.ts?weird=1&xweir=2&weir=P-live"},
    // Absolute: the origin by its endpoint and by the Host that it was sent.
    {"http://10.0.0.7:8080/live/0.ts", "/live/0.ts?weir=P-live"},
    {"HTTP://10.0.0.7:8080/live/0.ts?a=1#f", "/live/0.ts?a=1&weir=P-live#f"},
    {"https://media.example.com/live/0.ts", "/live/0.ts?weir=P-live"},
    {"https://Media.Example.com:443/live/0.ts", "/live/0.ts?weir=P-live"},
    {"http://media.example.com:80/x/0.ts", "/x/0.ts?weir=P-x"},
    {"//media.example.com/live/0.ts", "/live/0.ts?weir=P-live"},
    {"http://media.example.com", "/?weir=P-"},
    {"http://media.example.com?a=b", "/?a=b&weir=P-"},
    {"http://10.0.0.7:8080//cdn.example.net/0.ts", "/.//cdn.example.net/0.ts?weir=P-"},
    // A backslash leads to the root as a slash does, there and after a second rewriting.
    {"http://10.0.0.7:8080\\x.ts", "\\x.ts?weir=P-"},
    {"\\x.ts", "\\x.ts?weir=P-"},
    {"\\live\\x.ts", "\\live\\x.ts?weir=P-live"},
    // Absolute: others, and what only looks like the origin.
    {"http://10.0.0.7/live/0.ts", nullptr},
    {"http://10.0.0.7:8081/live/0.ts", nullptr},
    {"http://media.example.com:8080/live/0.ts", nullptr},
    {"http://media.example.com:443/live/0.ts", nullptr},
    {"http://media.example.com.evil.net/0.ts", nullptr},
    {"http://media.example.com@evil.net/0.ts", nullptr},
    {"http://user@media.example.com/0.ts", nullptr},
    {"http://cdn.example.net/live/0.ts?a=b", nullptr},
    {"//cdn.example.net/0.ts", nullptr},
    {"\\\\cdn.example.net/0.ts", nullptr},
    {"/\\cdn.example.net/0.ts", nullptr},
    {"http:0.ts", nullptr},
    {"http:///0.ts", nullptr},
    {"data:text/plain;base64,AA==", nullptr},
    {"skd://key/1", nullptr},
    {"urn:uuid:1", nullptr},
    {"blob:http://10.0.0.7:8080/1", nullptr},
    // Names with odd characters.
    {"a b,c;d=e.ts", "a b,c;d=e.ts?weir=P-live"},
    {"\xC3\xA9t\xC3\xA9.ts", "\xC3\xA9t\xC3\xA9.ts?weir=P-live"},
    {"1970-01-01T00:00:00.ts", "1970-01-01T00:00:00.ts?weir=P-live"},
    {"\"quoted\".ts", "\"quoted\".ts?weir=P-live"},
    // Variables (EXT-X-DEFINE) that are not defined here: taken for parts of a relative path.
    {"{$base}/0.ts", "{$base}/0.ts?weir=P-live"},
    {"cam/{$name}.ts?a=b", "cam/{$name}.ts?a=b&weir=P-live"},
    {"https://{$host}/0.ts", nullptr},
    {"0.ts?t={$token}", "0.ts?t={$token}&weir=P-live"},
    // Blanks around stay where they are.
    {"0.ts \t", "0.ts?weir=P-live \t"},
    {"  0.ts", "  0.ts?weir=P-live"},
    {"  ", nullptr},
};

TEST_CASE("URIs that come back get the pin, others are left alone") {
  const RewriteOptions options = options_for("/live/cam.m3u8");
  for (const UriCase& c : kUris) {
    CAPTURE(c.in);
    CHECK(uri_line(c.in, options) == (c.out != nullptr ? c.out : c.in));
  }
}

TEST_CASE("scopes follow the path of the playlist") {
  CHECK(uri_line("0.ts", options_for("/cam.m3u8")) == "0.ts?weir=P-");
  CHECK(uri_line("cam/0.ts", options_for("/cam.m3u8")) == "cam/0.ts?weir=P-cam");
  CHECK(uri_line("0.ts", options_for("/a/b/c/cam.m3u8")) == "0.ts?weir=P-a");
  CHECK(uri_line("../../x/0.ts", options_for("/a/b/c/cam.m3u8")) == "../../x/0.ts?weir=P-a");
  CHECK(uri_line("../../../x/0.ts", options_for("/a/b/c/cam.m3u8")) == "../../../x/0.ts?weir=P-x");
  RewriteOptions none = options_for("/live/cam.m3u8");
  none.pin_for = nullptr;
  CHECK(uri_line("0.ts?a", none) == "0.ts?a");
  CHECK(uri_line("0.ts?weir=stale", none) == "0.ts?weir=stale");
}

TEST_CASE("variables: a URI leads where their values say") {
  const RewriteOptions options = options_for("/live/cam.m3u8");
  const auto after = [&](std::string_view define, std::string_view uri) {
    const std::string out =
        rewritten("#EXTM3U\n" + std::string(define) + "\n" + std::string(uri) + "\n", options);
    return out.substr(out.find('\n', 8) + 1);
  };
  const std::string_view base = "#EXT-X-DEFINE:NAME=\"base\",VALUE=\"http://10.0.0.7:8080/vod\"";
  CHECK(after(base, "{$base}/0.ts") == "/vod/0.ts?weir=P-vod\n");
  CHECK(after("#EXT-X-DEFINE:VALUE=\"10.0.0.7:8080\",NAME=\"h\"", "http://{$h}/vod/0.ts") ==
        "/vod/0.ts?weir=P-vod\n");
  CHECK(after("#EXT-X-DEFINE:NAME=\"n\",VALUE=\"17\"", "cam-{$n}.ts?x={$n}") ==
        "cam-17.ts?x=17&weir=P-live\n");
  CHECK(after("#EXT-X-DEFINE:NAME=\"n\",VALUE=\"https://cdn.example.net\"", "{$n}/0.ts") ==
        "https://cdn.example.net/0.ts\n");
  CHECK(after("#EXT-X-DEFINE:NAME=\"n\",VALUE=\"1\",VALUE=\"17\"", "cam-{$n}.ts") ==
        "cam-17.ts?weir=P-live\n");
  CHECK(after("#EXT-X-DEFINE:IMPORT=\"base\"", "{$base}/0.ts") == "{$base}/0.ts?weir=P-live\n");
  CHECK(rewritten("#EXTM3U\n" + std::string(base), options) ==
        "#EXTM3U\n#EXT-X-DEFINE:NAME=\"base\",VALUE=\"/vod\"");
  RewriteOptions asked = options;
  asked.query = "dir=%2Fvod";
  CHECK(rewritten("#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM=\"dir\"\n{$dir}/0.ts", asked) ==
        "#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM=\"dir\"\n/vod/0.ts?weir=P-vod");
  // What grows without bound is not replaced.
  std::string bomb = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"v\",VALUE=\"" + std::string(4000, 'x') + "\"\n";
  for (int i = 0; i < 100; ++i) bomb += "{$v}";
  CHECK(rewritten(bomb, options).ends_with("{$v}?weir=P-live"));
}

TEST_CASE("other tags with URIs") {
  const RewriteOptions options = options_for("/live/cam.m3u8");
  const auto tag = [&](std::string_view line) {
    return rewritten("#EXTM3U\n" + std::string(line), options).substr(8);
  };
  CHECK(tag("#EXT-X-PREFETCH:http://10.0.0.7:8080/live/9.ts") ==
        "#EXT-X-PREFETCH:/live/9.ts?weir=P-live");
  CHECK(tag("#EXT-X-PREFETCH:9.ts") == "#EXT-X-PREFETCH:9.ts?weir=P-live");
  CHECK(tag("#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"") ==
        "#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8?weir=P-live\"");
  CHECK(tag("#EXT-X-DATERANGE:ID=\"a\",X-ASSET-URI=\"a.m3u8\",X-ASSET-LIST=\"/x/l.json\"") ==
        "#EXT-X-DATERANGE:ID=\"a\",X-ASSET-URI=\"a.m3u8?weir=P-live\","
        "X-ASSET-LIST=\"/x/l.json?weir=P-x\"");
}

TEST_CASE("pins nest, behind a companion and what is there") {
  RewriteOptions options = options_for("/l%69ve/cam.m3u8");
  options.companion = "of=9";
  CHECK(rewritten("#EXTM3U\n0.ts?of=5&weir=inner", options) ==
        "#EXTM3U\n0.ts?of=5&weir=inner&of=9&weir=P-live");
}

// Attributes: %s is where the parameter goes.
constexpr const char* kTags[] = {
    "#EXT-X-KEY:METHOD=AES-128,URI=\"/live/k.key%s\",IV=0x00000000000000000000000000000001",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"k.php?id=1,2%s\",KEYFORMAT=\"identity\"",
    "#EXT-X-MAP:URI=\"init.mp4%s\",BYTERANGE=\"720@0\"",
    "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English, "
    "stereo\",URI=\"en/a.m3u8%s\",DEFAULT=YES",
    "#EXT-X-MEDIA:TYPE=SUBTITLES,NAME=\"x,URI=y.m3u8\",URI=\"sub.m3u8%s\"",
    "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.4d001f,mp4a.40.2\",URI=\"iframe.m3u8%s\"",
    "#EXT-X-PART:DURATION=0.33334,URI=\"cam.7.0.m4s%s\",INDEPENDENT=YES",
    "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"cam.7.1.m4s%s\"",
    "#EXT-X-RENDITION-REPORT:URI=\"../live/low.m3u8%s\",LAST-MSN=7,LAST-PART=2",
    "#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"k%s\"",
    "#EXT-X-SESSION-DATA:DATA-ID=\"com.example.x\",URI=\"d.json%s\",LANGUAGE=\"en\"",
    "#EXT-X-CONTENT-STEERING:SERVER-URI=\"/live/steer?a=b%s\",PATHWAY-ID=\"A\"",
    "#EXT-X-MAP: URI=\"init.mp4%s\"",
    "#EXT-X-MAP:BYTERANGE=\"1@0\", URI=\"init.mp4%s\" ",
    "#EXT-X-KEY:METHOD=AES-128,URI=k.key%s,IV=0x1",
};
constexpr const char* kUntouched[] = {
    "#EXT-X-KEY:METHOD=NONE",
    "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://a,b\",KEYFORMAT=\"com.apple.streamingkeydelivery\"",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"data:text/plain;base64,AAAA\"",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example.net/k\"",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"\"",
    "#EXT-X-KEY",
    "#EXT-X-KEY:",
    "#EXT-X-KEY:,,=,URI",
    "#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"URI=\",X-URI=\"a.m3u8\",uri=\"b\"",
    "#EXT-X-STREAM-INF:BANDWIDTH=1,URI=\"not-an-attribute-of-this.m3u8\"",
    "#EXT-X-SESSION-DATA:DATA-ID=\"x\",VALUE=\"a.json\"",
    "#EXTINF:2.000,URI=\"title.ts\"",
    "# a comment, URI=\"x.ts\"",
    "#EXT-X-KEYS:URI=\"x\"",
};

TEST_CASE("URI attributes") {
  const RewriteOptions options = options_for("/live/cam.m3u8");
  for (const std::string_view tag : kTags) {
    CAPTURE(tag);
    const std::size_t at = tag.find("%s");
    std::string in(tag), out(tag);
    in.erase(at, 2);
    const std::size_t query = in.find('?');
    out.replace(at, 2, query != std::string::npos ? "&weir=P-live" : "?weir=P-live");
    CHECK(uri_line(in, options) == out);
  }
  for (const std::string_view tag : kUntouched) {
    CAPTURE(tag);
    CHECK(uri_line(tag, options) == tag);
  }
  CHECK(uri_line("#EXT-X-MAP:URI=\"http://10.0.0.7:8080/live/i.mp4\"", options) ==
        "#EXT-X-MAP:URI=\"/live/i.mp4?weir=P-live\"");
  CHECK(uri_line("#EXT-X-MAP:URI=\"a.mp4\",URI=\"b.mp4\"", options) ==
        "#EXT-X-MAP:URI=\"a.mp4?weir=P-live\",URI=\"b.mp4?weir=P-live\"");
}

TEST_CASE("parameters of the client are carried") {
  RewriteOptions options = options_for("/live/cam.m3u8");
  options.query = "token=abc&weir=stale&_HLS_msn=7&_HLS_part=1&hls_ctx=1x&vhost=v.example.com";
  CHECK(uri_line("0.ts", options) == "0.ts?weir=P-live");
  options.carry_query = true;
  CHECK(uri_line("0.ts", options) == "0.ts?token=abc&vhost=v.example.com&weir=P-live");
  CHECK(uri_line("0.ts?token=own", options) == "0.ts?token=own&vhost=v.example.com&weir=P-live");
  CHECK(uri_line("0.ts?vhost=x&weir=y&token", options) == "0.ts?vhost=x&weir=y&token&weir=P-live");
  CHECK(uri_line("http://cdn.example.net/0.ts", options) == "http://cdn.example.net/0.ts");
  // What could leave the quotes or become a variable is escaped; escapes stay as they are.
  options.query = "a=\"x\",b&c={$d}&e=%22<>'&&=f&g#h";
  CHECK(uri_line("#EXT-X-MAP:URI=\"i.mp4\"", options) ==
        "#EXT-X-MAP:URI=\"i.mp4?a=%22x%22%2Cb&c=%7B%24d%7D&e=%22%3C%3E%27&g%23h&weir=P-live\"");
  std::string many;
  for (int i = 0; i < 100; ++i) many += "p" + std::to_string(i) + "=1&";
  options.query = many;
  const std::string out = uri_line("0.ts", options);
  CHECK(out.find("p63=1") != std::string::npos);
  CHECK(out.find("p64=1") == std::string::npos);
  const std::string huge = "x=" + std::string(20000, 'y');
  options.query = huge;
  CHECK(uri_line("0.ts", options) == "0.ts?weir=P-live");
}

// Whole playlists as they come from nginx-rtmp, ffmpeg, SRS and LL-HLS packagers; `@` is where the
// first parameter goes, `^` where a further one does.
constexpr const char* kPlaylists[] = {
    "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-STREAM-INF:PROGRAM-ID=1,BANDWIDTH=200000\n"
    "cam_low/index.m3u8@\n#EXT-X-STREAM-INF:PROGRAM-ID=1,BANDWIDTH=900000\ncam_hi/index.m3u8@\n",
    "#EXTM3U\r\n#EXT-X-VERSION:3\r\n#EXT-X-MEDIA-SEQUENCE:0\r\n#EXT-X-TARGETDURATION:2\r\n"
    "\r\n#EXTINF:2.000,\r\ncam-0.ts@\r\n#EXTINF:2.000,\r\ncam-1.ts@",
    "\xEF\xBB\xBF#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n"
    "#EXT-X-MAP:URI=\"init-stream0.m4s@\"\n#EXTINF:2.000000,\n"
    "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T09:24:41.000+0000\nchunk-stream0-00001.m4s@\n"
    "#EXT-X-ENDLIST\n",
    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,AVERAGE-BANDWIDTH=1\n"
    "/live/cam.m3u8?hls_ctx=7i2q0y1w&token=t^\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:9\n#EXT-X-PART-INF:PART-TARGET=0.5\n"
    "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=24.0\n"
    "#EXT-X-MEDIA-SEQUENCE:266\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:4.0,\nf269.mp4@\n"
    "#EXT-X-PART:DURATION=0.5,URI=\"f270.0.mp4@\",INDEPENDENT=YES\n"
    "#EXT-X-PART:DURATION=0.5,URI=\"f270.mp4?part=1^\",BYTERANGE=\"100@0\"\n"
    "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"f270.2.mp4@\"\n"
    "#EXT-X-RENDITION-REPORT:URI=\"../1M/w.m3u8@\",LAST-MSN=270,LAST-PART=1\n",
};

TEST_CASE("whole playlists, byte for byte") {
  for (const std::string_view marked : kPlaylists) {
    std::string in, out;
    for (std::size_t i = 0; i < marked.size(); ++i) {
      const char c = marked[i];
      const bool byterange = c == '@' && i + 1 < marked.size() && marked[i + 1] == '0';
      if ((c != '@' && c != '^') || byterange) {
        in.push_back(c);
        out.push_back(c);
      } else {
        out += c == '@' ? "?weir=P-live" : "&weir=P-live";
      }
    }
    CAPTURE(in);
    CHECK(rewritten(in, options_for("/live/a/cam.m3u8")) == out);
  }
  CHECK(rewritten("#EXTM3U", options_for("/live/cam.m3u8")) == "#EXTM3U");
  CHECK(rewritten("#EXTM3U x\n\n\r\n", options_for("/live/cam.m3u8")) == "#EXTM3U x\n\n\r\n");
}

TEST_CASE("a 5 MB playlist") {
  std::string in = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n";
  std::string expected = in;
  for (int i = 0; in.size() < (std::size_t{5} << 20); ++i) {
    const std::string line = "#EXTINF:2.000,\nseg-" + std::to_string(i) + ".ts";
    in += line + "\n";
    expected += line + "?weir=P-live\n";
  }
  CHECK(rewritten(in, options_for("/live/cam.m3u8")) == expected);
}

TEST_CASE("refusals") {
  std::string out = "before";
  RewriteOptions options = options_for("/live/cam.m3u8");
  const auto status = [&](std::string_view text) {
    out = "before";
    const RewriteStatus result = rewrite_playlist(as_bytes(text), options, out);
    CHECK((result == RewriteStatus::kOk || out.empty()));
    return result;
  };
  for (const std::string_view text :
       {"", "\n#EXTM3U\n", "#EXTM3", "#EXTM3UX\n", "<html>", "a.ts\n"}) {
    CHECK(status(text) == RewriteStatus::kNotAPlaylist);
  }
  CHECK(status("#EXTM3U\na\x01.ts\n") == RewriteStatus::kBadLine);
  CHECK(status("#EXTM3U\na.ts\rb.ts\n") == RewriteStatus::kBadLine);
  CHECK(status("#EXTM3U\n#EXT-X-DEFINE:NAME=\"n\",VALUE=\"a\x01\"\n{$n}.ts\n") ==
        RewriteStatus::kBadLine);
  CHECK(status(std::string_view("#EXTM3U\na\0b.ts\n", 15)) == RewriteStatus::kBadLine);
  CHECK(status("#EXTM3U\n#EXT-X-KEY:URI=\"a.key\n") == RewriteStatus::kBadLine);
  CHECK(status("#EXTM3U\n#EXT-X-KEY:URI=\"a\x7F\"\n") == RewriteStatus::kBadLine);
  CHECK(status("#EXTM3U\n# \x01 in a comment\n") == RewriteStatus::kOk);
  CHECK(status("#EXTM3U\n" + std::string(64 * 1024, 'a')) == RewriteStatus::kOk);
  CHECK(status("#EXTM3U\n" + std::string(64 * 1024 + 1, 'a')) == RewriteStatus::kBadLine);
  CHECK(status("#EXTM3U\n#" + std::string(64 * 1024, 'a')) == RewriteStatus::kBadLine);
  CHECK(status("#EXTM3U\n" + std::string(std::size_t{8} << 20, '\n')) == RewriteStatus::kTooLarge);
  options.max_output = 1000;
  std::string many = "#EXTM3U\n";
  for (int i = 0; i < 100; ++i) many += "a\n";
  CHECK(status(many) == RewriteStatus::kTooLarge);
}

TEST_CASE("the pin is asked for once for one scope") {
  RewriteOptions options = options_for("/live/cam.m3u8");
  int calls = 0;
  options.pin_for = [&](std::string_view) {
    ++calls;
    return std::string("x");
  };
  std::string in = "#EXTM3U\n", out;
  for (int i = 0; i < 1000; ++i) in += "0.ts\n";
  CHECK(rewrite_playlist(as_bytes(in), options, out) == RewriteStatus::kOk);
  CHECK(calls == 1);
}

}  // namespace
}  // namespace weir::hls
