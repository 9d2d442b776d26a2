// Alias rules: what they take, what they refuse, and the keys that presets give to the URLs of the
// servers that they are for.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "common/base/limits.h"
#include "common/config/config.h"
#include "common/route/alias.h"
#include "common/route/http_target.h"
#include "common/route/rtmp_address.h"

namespace weir::route {
namespace {

Aliases rules(const std::string& statements) {
  const LoadOutcome loaded = load_config_text("t.conf", "aliases { " + statements + " }", {});
  for (const Fault& fault : loaded.faults) MESSAGE(to_string(fault));
  REQUIRE(loaded.ok());
  return aliases_of(loaded.config.aliases);
}

// All names that a request for it may mean, joined by blanks; "=" if no rule fits.
std::string http(const Aliases& aliases, std::string_view url) {
  const std::size_t slash = url.find('/');
  const std::string_view host = url.substr(0, slash);
  const std::size_t mark = std::min(url.find('?'), url.size());
  const std::string_view query = url.substr(std::min(mark + 1, url.size()));
  const HttpTarget target = read_http_target(host, url.substr(slash, mark - slash), query);
  REQUIRE(target.error == "");
  const AliasFound found = aliases.of_http(host, target.path, target.query, target.key);
  if (found.keys.empty()) return "=";
  std::string out;
  for (const StreamKey& key : found.keys) {
    std::string text = key.ok() ? key.text : "!" + std::string(to_string(key.error));
    if (text.starts_with("__defaultVhost__")) text.erase(0, kDefaultVhost.size());
    out.append(out.empty() ? "" : " ").append(text);
  }
  return out;
}

std::string rtmp(const Aliases& aliases, std::string_view path, std::string_view stream) {
  const StreamKey key =
      aliases.of_key(from_rtmp("rtmp://127.0.0.1/" + std::string(path), path, stream));
  return key.ok() ? key.text.substr(key.text.find('/')) : "!";
}

struct Row {
  std::string_view url, key;
};
template <std::size_t N>
void check(const Aliases& aliases, const Row (&rows)[N]) {
  for (const Row& row : rows) {
    CAPTURE(row.url);
    CHECK(http(aliases, row.url) == row.key);
  }
}

TEST_CASE("aliases: nginx-rtmp's usual forms") {
  const Aliases aliases = rules("preset nginx_rtmp live show variant=_low variant=_hi;");
  check(aliases, {
                     {"h/hls/cam.m3u8", "/live/cam /show/cam"},
                     {"h/hls/cam/index.m3u8", "/live/cam /show/cam"},
                     {"h/hls/cam-0.ts", "/live/cam /show/cam"},
                     {"h/hls/cam-1-12.ts", "/live/cam-1 /show/cam-1"},
                     {"h/hls/cam/0.ts", "/live/cam /show/cam"},
                     {"h/hls/cam-0.key", "/live/cam /show/cam"},
                     {"h/hls/cam_low.m3u8", "/live/cam /show/cam"},
                     {"h/hls/cam_hi/index.m3u8", "/live/cam /show/cam"},
                     {"h/hls/cam_low-17.ts", "/live/cam /show/cam"},
                     {"h/hls/cam_low/17.ts", "/live/cam /show/cam"},
                     {"h/hls/cam_mid.m3u8", "/live/cam_mid /show/cam_mid"},
                     {"h/hls/show/cam.m3u8", "/show/cam"},
                     {"h/hls/live/cam/index.m3u8", "/live/cam"},
                     {"h/hls/live/cam_low-3.ts", "/live/cam"},
                     {"h/dash/cam.mpd", "/live/cam /show/cam"},
                     {"h/dash/cam/index.mpd", "/live/cam /show/cam"},
                     {"h/dash/cam-init.m4v", "/live/cam /show/cam"},
                     {"h/dash/cam-1.m4a", "/live/cam /show/cam"},
                     {"h/dash/cam/init.m4a", "/live/cam /show/cam"},
                     {"h/dash/show/cam-33.m4v", "/show/cam"},
                     {"v.example:80/hls/cam.m3u8", "v.example/live/cam v.example/show/cam"},
                     {"h/hls/cam.m3u8?vhost=v.example", "v.example/live/cam v.example/show/cam"},
                     {"h/hls//./cam.m3u8?token=1", "/live/cam /show/cam"},
                     {"h/hls/a%20b.m3u8", "/live/a b /show/a b"},
                     {"h/live/cam.m3u8", "="},
                     {"h/live/cam_low.flv", "/live/cam"},
                     {"h/other/cam_low.flv", "="},
                     {"h/hls/cam", "="},
                     {"h/hls/.m3u8", "="},
                     {"h/hls/_low.m3u8", "="},
                     {"h/hls/cam/x.ts", "="},
                     {"h/hls/a/b/c/d.m3u8", "="},
                     {"h/live?app=show&stream=cam_hi", "/show/cam"},
                 });
  CHECK(rtmp(aliases, "live", "cam") == "/live/cam");
  CHECK(rtmp(aliases, "live", "cam_hi?token=1") == "/live/cam");
  CHECK(rtmp(aliases, "other", "cam_hi") == "/other/cam_hi");
}

TEST_CASE("aliases: nginx-rtmp with paths of its own") {
  const Aliases aliases = rules("preset nginx_rtmp live hls=/tv hls=/a/b dash=/mpd;");
  check(aliases, {{"h/tv/cam.m3u8", "/live/cam"},
                  {"h/a/b/cam.m3u8", "/live/cam"},
                  {"h/mpd/cam.mpd", "/live/cam"},
                  {"h/hls/cam.m3u8", "="},
                  {"h/dash/cam.mpd", "="}});
}

TEST_CASE("aliases: nginx-http-flv-module") {
  const Aliases aliases = rules("preset nginx_http_flv live;");
  check(aliases, {{"h/flv/cam.flv", "/live/cam"},
                  {"h/flv/show/cam.flv", "/show/cam"},
                  {"h/hls/cam.m3u8", "/live/cam"},
                  {"h/flv?app=live&stream=cam", "="}});  // its own form needs no rule
}

TEST_CASE("aliases: SRS") {
  const Aliases aliases = rules("preset srs variant=_ff;");
  check(aliases, {{"h/live/cam.m3u8", "="},
                  {"h/live/cam.flv", "="},
                  {"h/live/cam-12.ts", "/live/cam-12 /live/cam"},
                  {"h/live/cam_ff-12.ts", "/live/cam_ff-12 /live/cam"},
                  {"h/live/cam-12.m4s", "/live/cam"},
                  {"h/live/cam-12.key", "/live/cam"},
                  {"h/live/cam/init.mp4", "/live/cam"},
                  {"h/live/cam/index.m3u8", "/live/cam"},
                  {"h/live/cam/video-12.m4s", "/live/cam"},
                  {"h/live/cam/audio-init.mp4", "/live/cam"},
                  {"h/a/b/cam-3.m4s", "/a/b/cam"},
                  {"h/live/cam_ff.flv", "/live/cam"},
                  {"h/v.example/live/cam.flv", "v.example/live/cam"},
                  {"h/v.example/live/cam-3.m4s", "v.example/live/cam"},
                  {"h/v.example/a/b/cam_ff.m3u8", "v.example/a/b/cam"},
                  {"h/1.0/live/cam.flv", "="},
                  {"h/v.example/cam.flv", "="}});
  CHECK(rtmp(rules("preset srs;"), "live", "cam-1") == "/live/cam-1");
}

TEST_CASE("aliases: rules for path, vhost and query") {
  const Aliases aliases = rules(
      "rule /push/[stream] -> /live/[stream];"
      "rule //[host].cdn.example/[path*] -> //[host].example/[path];"
      "rule //old.example/[app]/[stream] -> //__defaultVhost__/[app]/[stream];"
      "rule /flv?id=[stream] -> /live/[stream];"
      "rule /flv?kind=radio&id=[stream] -> /radio/[stream];"
      "rule /[stream].m3u8 -> /live/[stream];"
      "rule /[stream] -> /one/[stream];"
      "rule /swap/[stream] -> /push/[stream];"
      "rule /pair/[stream]-[part] -> /live/[stream];"
      "rule /t[number]/[stream] -> /tenant-[number]/[stream];"
      "rule /[app:a|b]/[stream](-hd|-sd) -> /[app]/[stream];"
      "rule /%5bx%5d/[stream] -> /x/[stream];"
      "rule '/with blank/[stream]' -> /wb/[stream];");
  check(aliases, {
                     {"h/push/cam.flv", "/live/cam"},
                     {"h/push/cam.v2.m3u8", "/live/cam.v2"},
                     {"eu.cdn.example/a/b/cam.flv", "eu.example/a/b/cam"},
                     {"EU.cdn.Example:81/a/cam.flv", "eu.example/a/cam"},
                     {"old.example/a/cam.flv", "/a/cam"},
                     {"h/a/cam.flv?vhost=old.example", "/a/cam"},
                     {"h/flv?id=cam", "/live/cam"},
                     {"h/flv?t=1&id=cam&x", "/live/cam"},
                     {"h/cam.m3u8", "/live/cam"},
                     {"h/cam", "/one/cam"},
                     {"h/swap/cam.flv", "/push/cam"},  // no second rule
                     {"h/t12/cam.flv", "/tenant-12/cam"},
                     {"h/tx/cam.flv", "="},
                     {"h/pair/a-b-c.flv", "/live/a-b"},  // up to the last place
                     {"h/a/cam-hd.m3u8", "/a/cam"},
                     {"h/c/cam-hd.m3u8", "="},
                     {"h/[x]/cam.flv", "/x/cam"},
                     {"h/with%20blank/cam.flv", "/wb/cam"},
                 });
  // What some origin would read otherwise is not guessed.
  check(aliases, {{"h/flv?id=a&id=b", "!ambiguous"},
                  {"h/flv?ID=a&x=1", "!ambiguous"},
                  {"h/flv?id=a;id=b", "!ambiguous"},
                  {"h/flv?x=1,id=b", "!ambiguous"},
                  {"h/flv?id=a%26b", "!ambiguous"},
                  {"h/flv?x=1", "/one/flv"}});
  CHECK(rtmp(aliases, "push", "cam") == "/live/cam");
  CHECK(rtmp(aliases, "live", "cam") == "/live/cam");
}

TEST_CASE("aliases: what makes no key is refused, and nothing is longer than a key") {
  const Aliases aliases = rules(
      "rule /x/[stream] -> /a-long-name-of-an-app/[stream];"
      "rule /y/[stream].m3u8 -> /[stream]/[stream];");
  const std::string longest(limits::kStreamKeyBytes - 20, 's');
  CHECK(http(aliases, "h/x/" + longest + ".flv") == "!too_long");
  CHECK(http(aliases, "h/x/" + std::string(600, 's')) == "=");  // no key by itself
  CHECK(http(aliases, "h/y/..%2e.m3u8") == "/.../...");
  std::string deep = "h";
  for (std::size_t i = 0; i <= limits::kAliasSegments; ++i) deep += "/s";
  CHECK(http(rules("rule /[path*]/[stream] -> /x/[stream];"), deep) == "=");
}

TEST_CASE("aliases: rules of several names are for HTTP alone") {
  const Aliases aliases = rules(
      "rule /x/[stream] -> /a/[stream] /b/[stream];"
      "rule /x/[stream] -> /c/[stream];");
  CHECK(http(aliases, "h/x/cam.flv") == "/a/cam /b/cam");
  CHECK(rtmp(aliases, "x", "cam") == "/c/cam");
}

TEST_CASE("stream keys from their text") {
  const StreamKey key = parse_stream_key("v.example/a/b/cam");
  CHECK(key.ok());
  CHECK(key.vhost() == "v.example");
  CHECK(key.app() == "a/b");
  CHECK(key.stream() == "cam");
  for (const std::string_view wrong : {"", "/", "v", "v/", "v/a", "v//s", "/a/s", "v/a/", "//"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_stream_key(wrong).ok());
  }
}

}  // namespace
}  // namespace weir::route
