#include <doctest/doctest.h>

#include "workers/http/rtc_plan_session.h"

using namespace weir::http;
using weir::route::derive_hint_key;

namespace {

const RtcPlanSettings kSettings{derive_hint_key("s"), "/rtc/v1/whip/?app=[app]&stream=[stream]",
                                "/rtc/v1/whep/?app=[app]&stream=[stream]"};

RtcPlan plan(std::string_view line, std::string_view type = "",
             const RtcPlanSettings& settings = kSettings) {
  std::string text(line);
  text += " HTTP/1.1\r\nHost: media.example.org:11985\r\n";
  if (!type.empty()) text += "Content-Type: " + std::string(type) + "\r\n";
  text += "\r\n";
  RequestParser parser;
  RequestHead head;
  REQUIRE(parser.parse(text, head) == weir::ParseStatus::kComplete);
  return plan_rtc(head, settings);
}

constexpr std::string_view kSdp = "application/sdp";
constexpr std::string_view kFragment = "application/trickle-ice-sdpfrag";

// The path and query of a public location.
std::string location(std::string_view target, std::string_view secret = "s") {
  return public_location("", target, derive_hint_key(secret), 7, "");
}

}  // namespace

TEST_CASE("offers: both forms of address give one key and reach the origin's path") {
  struct Row {
    std::string_view target;
    RtcApi api;
    std::string_view key;
    std::string_view origin_target;
  };
  const Row rows[] = {
      {"/rtc/v1/whip/?app=live&stream=cam&token=a%2Bb", RtcApi::kWhip, "media.example.org/live/cam",
       "/rtc/v1/whip/?app=live&stream=cam&token=a%2Bb"},
      {"/rtc/v1/whip?stream=cam&app=live", RtcApi::kWhip, "media.example.org/live/cam",
       "/rtc/v1/whip/?app=live&stream=cam"},
      {"/rtc/v1/whep/?app=live&stream=cam&vhost=v.org", RtcApi::kWhep, "v.org/live/cam",
       "/rtc/v1/whep/?app=live&stream=cam&vhost=v.org"},
      {"/rtc/v1/whep/?app=a%2Fb&stream=c", RtcApi::kWhep, "media.example.org/a/b/c",
       "/rtc/v1/whep/?app=a/b&stream=c"},
      {"/rtc/v1/whip-play/?app=live&stream=cam", RtcApi::kWhep, "media.example.org/live/cam",
       "/rtc/v1/whep/?app=live&stream=cam"},
      {"/rtc/v1/whip?app=live&stream=cam&action=play&t=1", RtcApi::kWhep,
       "media.example.org/live/cam", "/rtc/v1/whep/?app=live&stream=cam&t=1"},
      {"/rtc/v1/whip/?action=publish&app=live&stream=cam&candidate=192.0.2.1", RtcApi::kWhip,
       "media.example.org/live/cam", "/rtc/v1/whip/?app=live&stream=cam"},
      {"/whip/live/public?stream=secret&app=x&flag&token=a==", RtcApi::kWhip,
       "media.example.org/live/public", "/rtc/v1/whip/?app=live&stream=public&flag&token=a=="},
      {"/whip/live/cam:1+a,b;c", RtcApi::kWhip, "media.example.org/live/cam:1+a,b;c",
       "/rtc/v1/whip/?app=live&stream=cam:1+a%2Cb%3Bc"},
      {"/rtc/v1/whip/?app=live&stream=cam&%73tream=cam&callback=f&method=DELETE", RtcApi::kWhip,
       "media.example.org/live/cam", "/rtc/v1/whip/?app=live&stream=cam"},
      {"/whip/live/cam", RtcApi::kWhip, "media.example.org/live/cam",
       "/rtc/v1/whip/?app=live&stream=cam"},
      {"/whep/a/b/c?token=t", RtcApi::kWhep, "media.example.org/a/b/c",
       "/rtc/v1/whep/?app=a/b&stream=c&token=t"},
      {"/whip/live/c%20m&1", RtcApi::kWhip, "media.example.org/live/c m&1",
       "/rtc/v1/whip/?app=live&stream=c%20m%261"},
      {"/whep/live/cam?weir=0123456789012345678901&a=1", RtcApi::kWhep,
       "media.example.org/live/cam", "/rtc/v1/whep/?app=live&stream=cam&a=1"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.target);
    const RtcPlan got = plan("POST " + std::string(row.target), "Application/SDP; charset=utf-8");
    CHECK(got.step == RtcStep::kOffer);
    CHECK(got.api == row.api);
    CHECK(got.publisher == (row.api == RtcApi::kWhip));
    CHECK(got.key == row.key);
    CHECK(got.target == row.origin_target);
  }
  CHECK(plan("POST /whep/live/cam?eip=203.0.113.9%3A8000", kSdp).eip == "203.0.113.9:8000");
}

TEST_CASE("refusals") {
  struct Row {
    std::string_view line;
    std::string_view type;
    int status;
    std::string_view allow;
  };
  const Row rows[] = {
      {"PUT /rtc/v1/whip/?app=live&stream=cam", "", 405, "POST, DELETE, PATCH, GET, HEAD, OPTIONS"},
      {"PUT /whip/live/cam", kSdp, 405, "POST, GET, HEAD, OPTIONS"},
      {"DELETE /whip/live/cam", "", 405, "POST, GET, HEAD, OPTIONS"},
      {"GET /rtc/v1/play/", "", 405, "POST, OPTIONS"},
      {"POST /whip/live/cam", "text/plain", 415, ""},
      {"POST /whip/live/cam", "", 415, ""},
      {"POST /whip/live/cam", "application/sdpx", 415, ""},
      {"POST /rtc/v1/whip/?app=live", kSdp, 400, ""},
      {"POST /rtc/v1/whip/?stream=cam", kSdp, 400, ""},
      {"POST /rtc/v1/whip/?app=..&stream=cam", kSdp, 400, ""},
      {"POST /whip/cam", kSdp, 400, ""},
      {"POST /whip/", kSdp, 400, ""},
      {"POST /rtc/v1/other/", kSdp, 404, ""},
      {"POST /rtc/v1/whip/?app=live&stream=public&stream=secret", kSdp, 400, ""},
      {"POST /rtc/v1/whip/?app=live&stream=public&%73tream=secret", kSdp, 400, ""},
      {"POST /rtc/v1/whip/?app=live&stream=public;stream=secret", kSdp, 400, ""},
      {"POST /rtc/v1/whip/?app=live&stream=public&x=1;stream=secret", kSdp, 400, ""},
      {"POST /rtc/v1/whip/?app=live&stream=public&x=1,stream,secret", kSdp, 400, ""},
      {"POST /rtc/v1/whip/?app=live&stream=public&x&y=stream=secret", kSdp, 400, ""},
      {"POST /rtc/v1/whip/?app=live&stream=public&x=1?vhost=other.org", kSdp, 400, ""},
      {"POST /rtc/v1/whip/?app=live&stream=a?vhost=other.org", kSdp, 400, ""},
      {"POST /rtc/v1/whip/?app=live&stream=a&vhost=v.org&domain=w.org", kSdp, 400, ""},
      {"POST /rtc/v1/whip/?app=live&stream=a&action=delete", kSdp, 400, ""},
      {"POST /whip/live/public?x;stream=secret", kSdp, 400, ""},
      {"POST /rtc/v1/play/?eip=192.0.2.1&eip=192.0.2.2", "", 400, ""},
      {"POST /rtc/v1/nack/?username=a:b&username=c:d", "", 400, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.line);
    const RtcPlan got = plan(row.line, row.type);
    CHECK(got.step == RtcStep::kRefused);
    CHECK(got.status == row.status);
    CHECK(got.allow == row.allow);
    CHECK_FALSE(got.error.empty());
  }
  for (const std::string_view line :
       {"GET /api/v1/streams", "POST /api/v1/x", "GET /", "OPTIONS *", "GET /whipped/live/cam"}) {
    CAPTURE(line);
    CHECK(plan(line).step == RtcStep::kElsewhere);
  }
}

TEST_CASE("preflights") {
  CHECK(plan("OPTIONS /whip/live/cam").step == RtcStep::kPreflight);
  CHECK(plan("OPTIONS /rtc/v1/whep/").step == RtcStep::kPreflight);
  CHECK(plan("OPTIONS /rtc/v1/play/").step == RtcStep::kPreflight);
  CHECK(plan("OPTIONS " + location("/x/1?s=2")).allow == "DELETE, PATCH, GET, HEAD, OPTIONS");
}

TEST_CASE("resources: the hint leads to the origin with its own path and query") {
  const std::string target = "/rtc/v1/whip/?action=delete&token=t&app=live&stream=cam&session=a:b";
  RtcPlan got = plan("DELETE " + location(target));
  CHECK(got.step == RtcStep::kRemove);
  CHECK(got.origin == 7);
  CHECK(got.target == target);
  got = plan("PATCH " + location("/whip/s/1"), kFragment);
  CHECK(got.step == RtcStep::kPatch);
  CHECK(got.target == "/whip/s/1");
  CHECK(plan("PATCH " + location(target), "text/plain").status == 415);
  CHECK(plan("PATCH " + location(target), kSdp).sdp);
  CHECK(plan("POST " + location(target), kSdp).status == 405);
  CHECK(plan("GET " + location(target)).allow == "DELETE, PATCH, GET, HEAD, OPTIONS");

  // Another secret, another path, or a place with rules of its own: no hint.
  CHECK_FALSE(plan("DELETE " + location(target, "x")).origin.has_value());
  CHECK(plan("DELETE " + location("/a/1", "x")).status == 404);
  const std::string other = location("/a/1");
  CHECK(plan("DELETE /a/2" + other.substr(4)).status == 404);
  for (const std::string_view path : {"/api/v1/clients/1", "//api/v1/clients/1", "/%61pi/v1/x"}) {
    CAPTURE(path);
    CHECK(plan("DELETE " + location(path)).step == RtcStep::kElsewhere);
  }
  // Without a hint SRS's own address still names the stream, and so the origin.
  got = plan("DELETE " + target);
  CHECK(got.step == RtcStep::kRemove);
  CHECK(got.key == "media.example.org/live/cam");
  CHECK_FALSE(got.origin.has_value());
  CHECK(got.target == target);
}

TEST_CASE("the session's name travels in the resource's address, and no further") {
  FlowName name{3, 0xFFFFFFFE, {1, 2, 3}};
  name.token[15] = 0xAB;
  const std::string text = print_flow_name(name);
  CHECK(text.size() == 48);
  CHECK(parse_flow_name(text) == name);
  for (const std::string_view bad : {"", "00", "zz"}) CHECK_FALSE(parse_flow_name(bad).has_value());
  CHECK_FALSE(parse_flow_name(std::string(48, '-')).has_value());
  CHECK_FALSE(parse_flow_name(text + "0").has_value());
  CHECK_FALSE(parse_flow_name("+1" + text.substr(2)).has_value());

  const std::string where =
      public_location("https://media.example.org/cdn", "/s/1?a=1", kSettings.hint_key, 7, text);
  CHECK(where.starts_with("https://media.example.org/cdn/s/1?a=1&weir="));
  CHECK(where.ends_with("&weir-session=" + text));
  const RtcPlan got = plan("DELETE " + where.substr(where.find("/s/1")));
  CHECK(got.target == "/s/1?a=1");
  CHECK(got.flow == text);
}

TEST_CASE("aliases change the key alone") {
  const std::string to[] = {"/live/[stream]"};
  const weir::route::AliasText rule{"/push/[stream]", to};
  const auto aliases = weir::route::Aliases::make({&rule, 1});
  REQUIRE(aliases);
  RtcPlanSettings settings = kSettings;
  settings.aliases = &*aliases;
  for (const std::string_view target : {"/rtc/v1/whip/?app=push&stream=cam", "/whip/push/cam"}) {
    const RtcPlan got = plan("POST " + std::string(target), kSdp, settings);
    CHECK(got.key == "media.example.org/live/cam");
    CHECK(got.target == "/rtc/v1/whip/?app=push&stream=cam");
  }
  RtcPlan json = plan("POST /rtc/v1/play/", "application/json", settings);
  CHECK(plan_stream_url(json, "webrtc://a.org/push/cam") == "webrtc://a.org/push/cam");
  CHECK(json.key == "a.org/live/cam");
}

TEST_CASE("SRS's JSON API: the stream is in the body") {
  RtcPlan got = plan("POST /rtc/v1/play/?eip=192.0.2.1", "application/json");
  CHECK(got.step == RtcStep::kOffer);
  CHECK(got.api == RtcApi::kPlay);
  CHECK(got.target == "/rtc/v1/play/");
  plan_stream_url(got, "webrtc://media.example.org:1985/live/cam?token=1");
  CHECK(got.key == "media.example.org/live/cam");
  CHECK(got.eip == "192.0.2.1");
  got = plan("POST /rtc/v1/publish");
  CHECK(got.publisher);
  plan_stream_url(got, "webrtc://10.0.0.1/live/cam?vhost=v.org&eip=192.0.2.2");
  CHECK(got.key == "v.org/live/cam");
  CHECK(got.eip == "192.0.2.2");
  struct Row {
    std::string_view url;
    std::string_view sent;
  };
  const Row rows[] = {
      {"webrtc://a.org:1985/live/cam?token=1", "webrtc://a.org:1985/live/cam?token=1"},
      {"rtmp://a.org/x/y/cam", "webrtc://a.org/x/y/cam"},
      {"webrtc://a.org/live/cam?t=a/secret?b#c", "webrtc://a.org/live/cam?t=a%2Fsecret%3Fb%23c"},
      {"webrtc://u@A.org/live/c#m", "webrtc://a.org/live/c%23m"},
      {"webrtc://a.org/live/cam?domain=v.org&t=1", "webrtc://v.org/live/cam?vhost=v.org&t=1"},
      {"webrtc://a.org/live/cam?vhost=__defaultVhost__", "webrtc://__defaultVhost__/live/cam"},
      {"webrtc:///live/cam", "webrtc://__defaultVhost__/live/cam"},
      {"webrtc://a.org:b:c/live/cam", "webrtc://__defaultVhost__/live/cam"},
      {"webrtc://10.0.0.1:99x/live/cam", "webrtc://10.0.0.1/live/cam"},
      {"webrtc://a.org/live/\xC3\xA4", "webrtc://a.org/live/%C3%A4"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.url);
    RtcPlan good = plan("POST /rtc/v1/play/");
    CHECK(plan_stream_url(good, row.url) == row.sent);
    CHECK(good.step == RtcStep::kOffer);
  }
  for (const std::string_view bad :
       {"", "live/cam", "webrtc://", "webrtc://h", "webrtc://h/cam",
        "webrtc://h/_definst_/live/cam", "webrtc://h/live...vhost...x/cam",
        "webrtc://h/live/_definst_", "webrtc://h/live/a?vhost=a.org&vhost=b.org",
        "webrtc://h/live/a?x;vhost=b.org"}) {
    CAPTURE(bad);
    RtcPlan wrong = plan("POST /rtc/v1/play/");
    plan_stream_url(wrong, bad);
    CHECK(wrong.step == RtcStep::kRefused);
    CHECK(wrong.status == 400);
  }
  CHECK(plan("POST /rtc/v1/nack/?username=a:b").step == RtcStep::kNack);
}

TEST_CASE("paths of other origins") {
  const auto expand = [](std::string_view path, std::string_view query) {
    return expand_origin_path(path, "v.org", "a/b", "c d", query);
  };
  CHECK(expand("/[app]/[stream]/whip", "t=1") == "/a/b/c%20d/whip?t=1");
  CHECK(expand("/whip?v=[vhost]&s=[app]_[stream]", "") == "/whip?v=v.org&s=a/b_c%20d");
  CHECK(expand("/whip?a=[app]&x", "a=other") == "/whip?a=a/b&x");
  CHECK(expand("/whip?a=[app]&x=1&y", "x=2&z") == "/whip?a=a/b&x=2&z&y");
  CHECK(expand("/[unknown", "") == "/[unknown");
}

TEST_CASE("the origin's Location in all its forms") {
  constexpr std::string_view kAsked = "/rtc/v1/whip/?app=live";
  struct Row {
    std::string_view location;
    std::string_view target;
  };
  const Row rows[] = {
      {"/rtc/v1/whip/?session=1", "/rtc/v1/whip/?session=1"},
      {"http://origin.local:1985/whip/s/1", "/whip/s/1"},
      {"http://origin.local?x=1", "/?x=1"},
      {"//origin.local/s", "/s"},
      {"s/1#part", "/rtc/v1/whip/s/1"},
      {"?session=1", "/rtc/v1/whip/?session=1"},
      {"/s?next=http://x/", "/s?next=http://x/"},
      {"", ""},
      {"/s 1", "/s%201"},
      {"/a/../b", "/b"},
      {"../s/./1?a=../b", "/rtc/v1/s/1?a=../b"},
      {"/a/%2e%2E/b/..", "/"},
      {"../../../../b/", "/b/"},
      {"/s/a%2Fb", "/s/a%2Fb"},
      {"\xC3\xA4", "/rtc/v1/whip/%C3%A4"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.location);
    CHECK(resolve_location(row.location, kAsked) == row.target);
  }
}

TEST_CASE("where a hint may lead") {
  for (const std::string_view good :
       {"/", "/s/1", "/s/a%2Fb", "/whip/%C3%A4", "/apis/1", "/s/api/1"}) {
    CAPTURE(good);
    CHECK(is_resource_path(good));
  }
  for (const std::string_view bad :
       {"", "s", "/api", "/api/v1/x", "//api/1", "/./api/1", "/%61pi/1", "/%2Fapi/1", "/a/../api/1",
        "/a/%2e./api", "/a%2F..%2Fapi/1", "/a\\..\\api", "/%5Capi/1", "/a%0A", "/a%", "/API/v1"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_resource_path(bad));
  }
}

TEST_CASE("GET and HEAD have no content") {
  for (const std::string_view line :
       {"GET /rtc/v1/whip/?app=live&stream=cam", "HEAD /rtc/v1/whep/", "GET /whip/live/cam"}) {
    CAPTURE(line);
    CHECK(plan(line).step == RtcStep::kEmpty);
  }
  CHECK(plan("GET " + location("/x/1")).step == RtcStep::kEmpty);
}

TEST_CASE("Accept") {
  struct Row {
    std::string_view accept;
    bool taken;
  };
  const Row rows[] = {{"application/sdp", true},
                      {"*/*", true},
                      {"text/html, application/*;q=0.5", true},
                      {"Application/SDP;q=0.1", true},
                      {"", true},
                      {"application/json", false},
                      {"text/*", false},
                      {"application/sdp;q=0", false},
                      {"*/*, application/sdp; q=0.0", false},
                      {"application/sdp;q=0, */*", false},
                      {"application/*;q=0, application/sdp", true}};
  for (const Row& row : rows) {
    CAPTURE(row.accept);
    const std::string line =
        "POST /whip/live/a HTTP/1.1\r\nHost: x\r\nContent-Type: " + std::string(kSdp) +
        "\r\nAccept: " + std::string(row.accept) + "\r\n\r\n";
    RequestParser parser;
    RequestHead head;
    REQUIRE(parser.parse(line, head) == weir::ParseStatus::kComplete);
    const RtcPlan got = plan_rtc(head, kSettings);
    CHECK((got.step == RtcStep::kOffer) == row.taken);
    CHECK((row.taken || got.status == 406));
  }
}

TEST_CASE("the origin's vhost is the one of the key") {
  struct Row {
    std::string_view target;
    std::string_view host;
  };
  const Row rows[] = {{"/whip/live/a", ""},
                      {"/whip/live/a?vhost=v.org", "v.org"},
                      {"/whip/live/a?domain=Media.example.org", ""},
                      {"/whip/live/a?vhost=__defaultVhost__", "__defaultVhost__"}};
  for (const Row& row : rows) {
    CAPTURE(row.target);
    CHECK(plan("POST " + std::string(row.target), kSdp).host == row.host);
  }
}

TEST_CASE("a Weir behind this one has hints of its own") {
  const std::string inner =
      public_location("", "/s/1?a=1", derive_hint_key("inner"), 9, std::string(48, 'a'));
  const std::string outer =
      public_location("", inner, kSettings.hint_key, 7, print_flow_name({1, 2, {}}));
  const RtcPlan got = plan("DELETE " + outer);
  CHECK(got.step == RtcStep::kRemove);
  CHECK(got.origin == 7);
  CHECK(got.target == inner);
  CHECK(got.flow == print_flow_name({1, 2, {}}));
}

TEST_CASE("prefixes that a proxy has taken off") {
  CHECK(public_prefix("/media/") == "/media");
  CHECK(public_prefix("/a/b") == "/a/b");
  for (const std::string_view bad : {"", "/", "media", "//evil.org", "/a?b", "/a/../b", "/a, /b"}) {
    CAPTURE(bad);
    CHECK(public_prefix(bad).empty());
  }
}
