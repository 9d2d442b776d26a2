// Stream ids in every form that callers use, and in some that nobody should.
#include <doctest/doctest.h>

#include <string>

#include "common/proto/srt/stream_id.h"

namespace weir::srt {
namespace {

struct Row {
  std::string_view text;
  std::string_view vhost;
  std::string_view app;
  std::string_view stream;
  Mode mode = Mode::kRequest;
  std::string_view user = {};
  std::string_view rest = {};
};

TEST_CASE("accepted forms") {
  const Row rows[] = {
      {"#!::r=live/livestream", "", "live", "livestream"},
      {"#!::r=live/livestream,m=publish", "", "live", "livestream", Mode::kPublish},
      {"#!::m=PUBLISH,r=live/livestream", "", "live", "livestream", Mode::kPublish},
      {"#!::r=live/livestream,m=request", "", "live", "livestream"},
      {"#!::r=live/livestream,m=bidirectional", "", "live", "livestream", Mode::kUnknown},
      {"#!::r=live/livestream,m=", "", "live", "livestream", Mode::kUnknown},
      {"#!::h=v.example,r=a/b/c,u=joe,s=1,t=stream", "v.example", "a/b", "c", Mode::kRequest, "joe",
       "s=1&t=stream"},
      {"#!::r=livestream", "", "live", "livestream"},
      {"#!::r=/live/livestream", "", "live", "livestream"},
      {"#!::h=live/livestream,m=publish", "", "live", "livestream", Mode::kPublish},
      {"#!::h=v.example/live/livestream,m=publish", "v.example", "live", "livestream",
       Mode::kPublish},
      {"#!::h=v.example/a/b/c", "v.example", "a/b", "c"},
      {"#!::h=live/livestream?secret=x,m=publish", "", "live", "livestream", Mode::kPublish, "",
       "secret=x"},
      {"#!::h=x.example,r=live/livestream?token=1&k=2", "x.example", "live", "livestream",
       Mode::kRequest, "", "token=1&k=2"},
      {"#!::h=old/path,r=live/livestream", "", "live", "livestream"},
      {"#!::r=a/b,r=c/d", "", "c", "d"},
      {"#!::,r=a/b,", "", "a", "b"},
      {"#!::r=a/b,k=1=2", "", "a", "b", Mode::kRequest, "", "k=1=2"},
      {"#!:{r=a/b,m=publish,h=v.example}", "v.example", "a", "b", Mode::kPublish},
      {"#!:{r=a/b,x={r=c,y={m=z}},u=joe}", "", "a", "b", Mode::kRequest, "joe", "x={r=c,y={m=z}}"},
      {"live/livestream", "", "live", "livestream"},
      {"livestream", "", "live", "livestream"},
      {"/livestream", "", "live", "livestream"},
      {"a/b/c?token=1,m=publish", "", "a/b", "c", Mode::kPublish, "", "token=1"},
      {"a/b?token", "", "a", "b", Mode::kRequest, "", "token"},
      {"r=live/livestream", "", "r=live", "livestream"},
      {"", "", "def", "ault", Mode::kPublish},
      // Blanks, case, pasted line ends.
      {"#!:: M = Publish , R = live/cam ", "", "live", "cam", Mode::kPublish},
      {"#!::r=live/cam,m=publish\r\n", "", "live", "cam", Mode::kPublish},
      {"#!::r=live/a,r=,h=live/b", "", "live", "b"},
      {"#!::r=live/a,vhost=v.example", "v.example", "live", "a", Mode::kRequest, "",
       "vhost=v.example"},
      // MediaMTX
      {"publish:x", "", "live", "x", Mode::kPublish},
      {"publish:app/stream", "", "app", "stream", Mode::kPublish},
      {"PUBLISH:app/stream:me:pass:k=v", "", "app", "stream", Mode::kPublish, "me", "s=pass&k=v"},
      {"publish:app/stream:me:", "", "app", "stream", Mode::kPublish, "me"},
      {"read:x", "", "live", "x"},
      {"request:app/stream?token=1", "", "app", "stream", Mode::kRequest, "", "token=1"},
      {"play:x", "", "live", "x"},
      {"cam:1", "", "live", "cam:1"},
      // gosrt, and queries
      {"x,mode:publish", "", "live", "x", Mode::kPublish},
      {"app/x,mode:publish,token:abc", "", "app", "x", Mode::kPublish, "", "token=abc"},
      {"x?mode=publish", "", "live", "x", Mode::kPublish},
      {"x?mode=play", "", "live", "x"},
      {"x,mode:both", "", "live", "x", Mode::kUnknown},
      {"app/x?u=me&vhost=v.example", "v.example", "app", "x", Mode::kRequest, "me",
       "vhost=v.example"},
      // srt-live-server, and hosts in a path
      {"uplive.host/x", "host", "live", "x", Mode::kPublish},
      {"live.host/x", "host", "live", "x"},
      {"uplive.sls.com/app/x?key=1", "sls.com", "app", "x", Mode::kPublish, "", "key=1"},
      {"live.sls.com/app/x", "sls.com", "app", "x"},
      {"v.example/app/x", "v.example", "app", "x"},
      {"app.v2/x", "", "app.v2", "x"},
      {"live.", "", "live", "live."},
      // URLs
      {"push://v.example/app/x?auth_key=1", "v.example", "app", "x", Mode::kPublish, "",
       "auth_key=1"},
      {"play://v.example:10080/app/x", "v.example:10080", "app", "x"},
      {"srt://localhost/app/x", "", "app", "x"},
      {"rtmp://live.host/app/x?m=publish", "live.host", "app", "x", Mode::kPublish},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.text));
    StreamId id;
    id.rest = "old";
    REQUIRE(parse_stream_id(row.text, {"#!::r=def/ault,m=publish"}, id) == StreamIdError::kNone);
    CHECK(id.vhost == row.vhost);
    CHECK(id.app == row.app);
    CHECK(id.stream == row.stream);
    CHECK(id.mode == row.mode);
    CHECK(id.user == row.user);
    CHECK(id.rest == row.rest);
  }
}

TEST_CASE("refused forms") {
  const std::pair<std::string, StreamIdError> rows[] = {
      {"", StreamIdError::kEmpty},
      {"#!", StreamIdError::kBadSyntax},
      {"#!:", StreamIdError::kBadSyntax},
      {"#!:r=a/b", StreamIdError::kBadSyntax},
      {"#!r=a/b", StreamIdError::kBadSyntax},
      {"#!::", StreamIdError::kNoResource},
      {"#!::m=publish", StreamIdError::kNoResource},
      {"#!::h=v.example", StreamIdError::kNoResource},
      {"#!::r=/", StreamIdError::kNoResource},
      {"#!::live/livestream", StreamIdError::kBadSyntax},
      {"#!::=x,r=a/b", StreamIdError::kBadSyntax},
      {"#!:{r=a/b", StreamIdError::kBadSyntax},
      {"#!:{r=a/b,x={y=1}", StreamIdError::kBadSyntax},
      {"#!:{r=a/b}}", StreamIdError::kBadSyntax},
      {"/", StreamIdError::kNoResource},
      {"live/a,b", StreamIdError::kBadSyntax},
      {"live/a?r=live/b", StreamIdError::kBadSyntax},
      {"live/a?h=live/b", StreamIdError::kBadSyntax},
      {"live/a?x={1", StreamIdError::kBadSyntax},
      {"publish:", StreamIdError::kNoResource},
      {"push://host", StreamIdError::kNoResource},
      {"push://host?x=/a/b", StreamIdError::kBadSyntax},
      {"?x=1", StreamIdError::kNoResource},
      {std::string(513, 'x'), StreamIdError::kTooLong},
  };
  for (const auto& row : rows) {
    CAPTURE(row.first);
    StreamId id;
    CHECK(parse_stream_id(row.first, {}, id) == row.second);
  }
  StreamId id;
  CHECK(parse_stream_id(std::string(512, 'x'), {}, id) == StreamIdError::kNone);
}

TEST_CASE("defaults") {
  StreamId id;
  REQUIRE(parse_stream_id("x", {{}, "app", Mode::kPublish}, id) == StreamIdError::kNone);
  CHECK(id.app == "app");
  CHECK(id.mode == Mode::kPublish);
  REQUIRE(parse_stream_id("#!::r=x,m=request", {{}, "app", Mode::kPublish}, id) ==
          StreamIdError::kNone);
  CHECK(id.mode == Mode::kRequest);
}

}  // namespace
}  // namespace weir::srt
