#include <doctest/doctest.h>

#include <string>

#include "common/base/http_url.h"
#include "workers/core/hook_plan.h"

using namespace weir;

namespace {

HookEvent event(std::string stream = "cam") {
  HookEvent e;
  e.session = 0xab;
  e.client = *parse_listen("192.0.2.7:4711");
  e.vhost = "__defaultVhost__";
  e.app = "live";
  e.stream = std::move(stream);
  e.param = "?token=a\"b";
  e.tc_url = "rtmp://host/live";
  e.page_url = "http://page/";
  return e;
}

HookKey key(const HookEvent& e) {
  return hook_key(e, {1, 2});
}

}  // namespace

TEST_CASE("the body has SRS's members, escaped") {
  CHECK(hook_body(event(), {"host", "7"}) ==
        "{\"server_id\":\"host\",\"service_id\":\"7\",\"action\":\"on_play\","
        "\"client_id\":\"00000000000000ab\",\"ip\":\"192.0.2.7\",\"vhost\":\"__defaultVhost__\","
        "\"app\":\"live\",\"tcUrl\":\"rtmp://host/live\",\"stream\":\"cam\","
        "\"param\":\"?token=a\\\"b\",\"pageUrl\":\"http://page/\",\"stream_url\":\"/live/cam\"}");
  HookEvent other = event();
  other.action = HookAction::kUnpublish;
  other.vhost = "v.example";
  const std::string body = hook_body(other, {});
  CHECK(body.find("\"action\":\"on_unpublish\"") != body.npos);
  CHECK(body.find("pageUrl") == body.npos);
  CHECK(body.find("\"stream_url\":\"v.example/live/cam\"") != body.npos);
}

TEST_CASE("only 200 with 0, or an object with code 0, allows") {
  for (const char* yes : {"0", " 0\r\n", "{\"code\":0}", "{\"code\": 0, \"data\": null}\n"}) {
    CHECK(read_hook_answer(200, yes).allowed);
    CHECK_FALSE(read_hook_answer(201, yes).allowed);
    CHECK_FALSE(read_hook_answer(500, yes).allowed);
  }
  for (const char* no :
       {"", "1", "00", "0x", "ok", "{}", "{\"code\":1}", "{\"code\":\"0\"}", "{\"code\":null}",
        "{\"code\":0", "{\"code\":0} x", "[0]", "{\"data\":{\"code\":0}}", "{\"Code\":0}"}) {
    CHECK_FALSE(read_hook_answer(200, no).allowed);
  }
  CHECK(read_hook_answer(200, "{\"code\":9}").why == "it answered 200: {\"code\":9}");
  CHECK(read_hook_answer(403, std::string(500, 'x')).why.size() < 120);
}

TEST_CASE("params") {
  CHECK(rtmp_hook_param("rtmp://h/live?t=1", "live?a=2", "s?s=3") == "?s=3");
  CHECK(rtmp_hook_param("rtmp://h/live?t=1", "live?a=2", "s") == "?a=2");
  CHECK(rtmp_hook_param("rtmp://h/live?t=1", "live", "s") == "?t=1");
  CHECK(rtmp_hook_param("rtmp://h/live", "live", "s").empty());
  CHECK(http_hook_param("token=1&_HLS_msn=7&x=%20&_HLS_part=2") == "?token=1&x=%20");
  CHECK(http_hook_param("_HLS_msn=7").empty());
  CHECK(http_hook_param("").empty());
}

TEST_CASE("keys tell viewers apart, and not their ports") {
  HookEvent other = event();
  other.client.port = 1;
  other.session = 9;
  CHECK(key(other) == key(event()));
  other.client = *parse_ip("192.0.2.8");
  CHECK_FALSE(key(other) == key(event()));
  CHECK_FALSE(key(event("cam2")) == key(event()));
  HookEvent moved = event("b/cam");
  HookEvent same_text = event();
  same_text.app = "live/b";
  CHECK_FALSE(key(moved) == key(same_text));
  other = event();
  other.param.clear();
  CHECK_FALSE(key(other) == key(event()));
  other = event();
  other.action = HookAction::kPublish;
  CHECK_FALSE(key(other) == key(event()));
}

TEST_CASE("the cache forgets by time and is bounded") {
  HookCache cache(3);
  const auto of = [](int n) { return key(event(std::to_string(n))); };
  cache.put(of(1), true, 100);
  cache.put(of(2), false, 100);
  CHECK(cache.find(of(1), 99) == true);
  CHECK(cache.find(of(2), 99) == false);
  CHECK_FALSE(cache.find(of(1), 100).has_value());
  CHECK_FALSE(cache.find(of(3), 0).has_value());
  cache.put(of(1), true, 200);  // now the youngest
  cache.put(of(3), true, 200);
  cache.put(of(4), true, 200);
  CHECK(cache.size() == 3);
  CHECK_FALSE(cache.find(of(2), 50).has_value());
  CHECK(cache.find(of(1), 50).has_value());
  for (int n = 0; n < 1000; ++n) cache.put(of(n % 2), true, 200);
  CHECK(cache.size() <= 3);
  for (int n = 0; n < 1000; ++n) cache.put(of(n), true, 200);
  CHECK(cache.size() == 3);
}

TEST_CASE("a segment's path names its playlist's stream") {
  CHECK(make_hook_stem("/live/cam.m3u8", "") == "9");
  CHECK(hook_stem("/live/cam-17.ts", "9") == "/live/cam");
  CHECK(hook_stem("/live/cam/0.m4s", "9") == "/live/cam");
  CHECK(hook_stem("/live/cam.ts", "9") == "/live/cam");
  CHECK(make_hook_stem("/live/cam/low.m3u8", "9") == "9");
  CHECK(make_hook_stem("/live/other.m3u8", "9") == "11");
  for (const char* value : {"", "", "x", "-1", "99", "15", "8", "99999999999999999999"}) {
    CHECK(hook_stem("/live/cam-17.ts", value).empty());
  }
  CHECK(hook_stem("/live/camera.ts", "9").empty());
  CHECK(hook_stem("/live/cam-2.flv", "9").empty());
}

TEST_CASE("URLs of hooks") {
  const auto url = parse_http_url("http://auth.internal:8085/a/b?x=1");
  REQUIRE(url);
  CHECK(url->host == "auth.internal");
  CHECK(url->port == 8085);
  CHECK(url->authority == "auth.internal:8085");
  CHECK(url->target == "/a/b?x=1");
  CHECK(parse_http_url("http://h")->target == "/");
  CHECK(parse_http_url("http://h?x")->target == "/?x");
  CHECK(parse_http_url("http://[::1]:80/")->host == "::1");
  for (const char* bad :
       {"", "https://h/", "h", "http://", "http:///x", "http://h:0/", "http://h:65536/",
        "http://h:x/", "http://h:/", "http://u:p@h/", "http://h/a b", "http://h/#f", "http://[::1",
        "http://h\r\n/", "http://h/\r\nX: y"}) {
    CHECK_FALSE(parse_http_url(bad));
  }
}
