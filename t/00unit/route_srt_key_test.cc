// The same stream over SRT has the key that it has over RTMP and HTTP.
#include <doctest/doctest.h>

#include "common/route/srt_key.h"

namespace weir::route {
namespace {

StreamKey key_of(std::string_view text) {
  srt::StreamId id;
  REQUIRE(srt::parse_stream_id(text, {}, id) == srt::StreamIdError::kNone);
  return from_srt(id);
}

TEST_CASE("one key for all protocols") {
  const std::string plain = from_rtmp("rtmp://10.0.0.1/live", "live", "livestream").text;
  for (const std::string_view text :
       {"#!::r=live/livestream,m=publish", "#!::h=live/livestream", "live/livestream", "livestream",
        "/live/livestream", "live/livestream?token=1", "#!:{r=live/livestream}",
        "#!::h=10.0.0.1,r=live/livestream", "#!::h=127.0.0.1/live/livestream",
        "#!::h=__defaultVhost__,r=live/livestream"}) {
    CAPTURE(std::string(text));
    CHECK(key_of(text).text == plain);
  }
  const std::string named = from_http_path("v.example.com", "/live/livestream.flv", {}).text;
  for (const std::string_view text :
       {"#!::h=v.example.com,r=live/livestream", "#!::h=V.Example.com/live/livestream",
        "#!::r=live/livestream,vhost=v.example.com", "live/livestream?vhost=v.example.com",
        "#!::h=v.example.com,r=live/livestream,vhost=other.example.com"}) {
    CAPTURE(std::string(text));
    CHECK(key_of(text).text == named);
  }
  CHECK(key_of("#!::r=a/b/c").text == from_rtmp("rtmp://x/a/b", "a/b", "c").text);
  // Asked for by name: the vhost may lack a dot.
  CHECK(key_of("#!::h=studio,r=a/b").text == "studio/a/b");
}

TEST_CASE("keys that cannot be") {
  CHECK(key_of("a/../b").error == KeyError::kBadSegment);
  CHECK(key_of("a//b/c").error == KeyError::kBadSegment);
  CHECK(key_of("live/").error == KeyError::kEmptyStream);
  CHECK(key_of("a\tb").error == KeyError::kControlByte);
  CHECK(key_of("#!::h=a b,r=x").error == KeyError::kBadHost);
  CHECK(key_of("#!:{h={a&b},r=x}").error == KeyError::kBadHost);
}

}  // namespace
}  // namespace weir::route
