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
      {"a/b/c?token=1,m=publish", "", "a/b", "c", Mode::kRequest, "", "token=1,m=publish"},
      {"a/b?token", "", "a", "b", Mode::kRequest, "", "token"},
      {"r=live/livestream", "", "r=live", "livestream"},
      {"", "", "def", "ault", Mode::kPublish},
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
