// The same stream over SRT has the key that it has over RTMP and HTTP.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "common/route/srt_key.h"

namespace weir::route {
namespace {

// What SRS finds in a stream id: its own way of reading (SRS 4 to 7), written anew, and compared
// with SRS 7.0.18 for some hundred stream ids. Fields and their values are parted by the same
// separators into one row; of a repeated key the last one counts. The first slash of all ends the
// app, also if it stands in another field and the path has none.
struct SrsReading {
  bool accepted = false;
  std::string vhost;
  std::string path;
  bool publish = false;
};

std::vector<std::string> srs_split(std::string text) {
  static const std::vector<std::string> separators = {"=", ",", "&&", "&", ";"};
  std::vector<std::string> row;
  for (;;) {
    std::size_t first = std::string::npos;
    std::string match;
    for (const std::string& separator : separators) {
      const std::size_t at = text.find(separator);
      if (at < first) {
        first = at;
        match = separator;
      }
    }
    if (match.empty()) break;
    row.push_back(text.substr(0, first));
    text = text.substr(first + match.size());
  }
  if (!text.empty()) row.push_back(text);
  return row;
}

// "app/stream" of a path with parameters behind it.
std::string srs_path(const std::string& url) {
  const std::size_t slash = url.find('/');
  const std::string app = slash == std::string::npos ? "live" : url.substr(0, slash);
  const std::string rest = slash == std::string::npos ? url : url.substr(slash + 1);
  return app + "/" + rest.substr(0, rest.find('?'));
}

SrsReading srs_reads(const std::string& id) {
  SrsReading out;
  if (!id.starts_with("#!::")) {
    out.accepted = true;
    out.path = srs_path(id);
    return out;
  }
  std::string text = id.substr(4);
  for (char& c : text) c = c == '?' ? ',' : c;
  const std::vector<std::string> row = srs_split(text);
  std::map<std::string, std::string> fields;
  for (std::size_t i = 0; i < row.size(); i += 2) {
    fields[row[i]] = i + 1 < row.size() ? row[i + 1] : "";
  }
  out.accepted = true;
  if (fields.contains("h")) {
    const std::string& host = fields["h"];
    const std::size_t first = host.find('/');
    if (first == std::string::npos) {
      out.vhost = host;
    } else if (first != host.rfind('/')) {
      out.vhost = host.substr(0, first);
      out.path = host.substr(first + 1);
    } else {
      out.path = host;
    }
  }
  if (fields.contains("r")) out.path = fields["r"];
  if (fields.contains("m")) {
    std::string mode = fields["m"];
    for (char& c : mode) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    out.publish = mode == "publish";
    out.accepted = out.publish || mode == "request";
  }
  if (out.path.empty()) {
    out.accepted = false;
    return out;
  }
  std::string params;
  for (const auto& [name, value] : fields) {
    if (name == "r" || name == "m") continue;
    if (name != "h") params += name + "=" + value + "&";
    const bool one_slash = std::count(value.begin(), value.end(), '/') == 1;  // a path alone
    if (name == "h" && !one_slash) params += "vhost=" + out.vhost + "&";
  }
  if (!params.empty()) {
    params.pop_back();  // the last "&"
    params.insert(0, "?");
  }
  out.path = srs_path(out.path + params);
  return out;
}

// The stream id that goes on; empty if the caller is refused.
std::string sent_on(std::string_view text) {
  srt::StreamId id;
  if (srt::parse_stream_id(text, {}, id) != srt::StreamIdError::kNone) return {};
  const StreamKey key = from_srt(id);
  std::string out;
  if (!key.ok() || id.mode == srt::Mode::kUnknown) return {};
  return origin_stream_id(key, id, out) == srt::StreamIdError::kNone ? out : std::string();
}

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
    const std::string shown(text);
    CAPTURE(shown);
    CHECK(key_of(text).text == plain);
  }
  const std::string named = from_http_path("v.example.com", "/live/livestream.flv", {}).text;
  for (const std::string_view text :
       {"#!::h=v.example.com,r=live/livestream", "#!::h=V.Example.com/live/livestream",
        "#!::r=live/livestream,vhost=v.example.com", "live/livestream?vhost=v.example.com",
        "#!::h=v.example.com,r=live/livestream,vhost=other.example.com"}) {
    const std::string shown(text);
    CAPTURE(shown);
    CHECK(key_of(text).text == named);
  }
  CHECK(key_of("#!::r=a/b/c").text == from_rtmp("rtmp://x/a/b", "a/b", "c").text);
  // Asked for by name: the vhost may lack a dot.
  CHECK(key_of("#!::h=studio,r=a/b").text == "studio/a/b");
}

TEST_CASE("one form goes on to the origin") {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"#!::r=live/cam,m=publish", "#!::r=live/cam,m=publish"},
      {"#!::m=request,r=live/cam", "#!::r=live/cam,m=request"},
      {"#!::h=v.example,r=live/b,m=request,u=me,x=1",
       "#!::h=v.example,r=live/b,m=request,u=me,x=1"},
      {"#!:{r=live/c,m=request}", "#!::r=live/c,m=request"},
      {"#!::h=V.example/live/d,m=request", "#!::h=v.example,r=live/d,m=request"},
      {"#!::h=10.0.0.1,r=live/d", "#!::r=live/d,m=request"},
      {"#!::r=live/d?token=1&k=2;l=3,m=publish", "#!::r=live/d,m=publish,token=1&k=2;l=3"},
      {"#!::r=live/public,r=live/secret", "#!::r=live/secret,m=request"},
      {"#!::r=live/c,vhost=v.example,t=1", "#!::h=v.example,r=live/c,m=request,t=1"},
      {"#!::r=live/c%61m", "#!::r=live/cam,m=request"},
      // A credential with `=`, where it can be taken for nothing else.
      {"#!::r=live/a,m=publish,u=me,t=ab==", "#!::r=live/a,m=publish,u=me,t=ab=="},
      {"#!::t=a/b==,r=live/a,m=publish", "#!::r=live/a,m=publish,t=a/b=="},
      {"#!::r=live/a,m=publish,t=ab=,k=1", "#!::r=live/a,m=publish,t=ab=,k=1"},
      {"#!:{r=live/a,x={b,c=d}}", "#!::r=live/a,m=request,x={b,c=d}"},
      {"app/e", "#!::r=app/e,m=request"},
      {"f", "#!::r=live/f,m=request"},
      {"a/b?token", "#!::r=a/b,m=request,token="},
      {"publish:x:me:pass", "#!::r=live/x,m=publish,u=me,s=pass"},
      {"x,mode:publish,token:t", "#!::r=live/x,m=publish,token=t"},
      {"uplive.sls.com/live/x", "#!::h=sls.com,r=live/x,m=publish"},
      {"push://v.example/live/x?auth_key=1-2", "#!::h=v.example,r=live/x,m=publish,auth_key=1-2"},
      // What two servers would read in two ways.
      {"#!::r=live/public,m=publish,u=a=r=live/secret", ""},
      {"#!::r=live/public,m=request,x=y=m=publish", ""},
      {"#!::r=live/public,m=publish,u={a,r=live/secret}", ""},
      {"#!:{r=live/public,u={r=live/secret}}", ""},
      {"#!::r=live/public,x=1=2,y=r,live/secret=1", ""},
      {"#!::r=live/public,x=1=h=v.example", ""},
      {"live/public?x=y=r=live/secret", ""},
      {"r=live/secret", ""},
      {"#!::r=live/a%2Cr=live/b", ""},
      {"#!::r=live/a%252Fb", ""},
      {"#!::r=%20live/a", ""},
      {"#!::r=live/a,t=\x01", ""},
  };
  for (const auto& [text, want] : rows) {
    const std::string shown(text);
    CAPTURE(shown);
    CHECK(sent_on(text) == want);
  }
  srt::StreamId id;
  const std::string longest = "#!::r=live/" + std::string(400, 'x') + ",t=" + std::string(92, 'y');
  REQUIRE(srt::parse_stream_id(longest, {}, id) == srt::StreamIdError::kNone);
  std::string out;
  CHECK(origin_stream_id(from_srt(id), id, out) == srt::StreamIdError::kTooLong);
}

TEST_CASE("publisher and player of other servers' forms meet") {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"publish:x", "read:x"},
      {"publish:app/x", "request:app/x"},
      {"uplive.host/x", "live.host/x"},
      {"uplive.sls.com/live/x", "live.sls.com/live/x"},
      {"uplive.sls.com/live/x", "sls.com/live/x"},
      {"x,mode:publish", "x"},
      {"x,mode:publish", "x,mode:request"},
      {"live/x?mode=publish", "#!::r=live/x,m=request"},
      {"push://a.example/live/x", "play://a.example/live/x"},
  };
  for (const auto& [publisher, player] : rows) {
    const std::string shown(publisher);
    CAPTURE(shown);
    srt::StreamId a;
    srt::StreamId b;
    REQUIRE(srt::parse_stream_id(publisher, {}, a) == srt::StreamIdError::kNone);
    REQUIRE(srt::parse_stream_id(player, {}, b) == srt::StreamIdError::kNone);
    CHECK(a.mode == srt::Mode::kPublish);
    CHECK(b.mode == srt::Mode::kRequest);
    CHECK(from_srt(a).text == from_srt(b).text);
    CHECK(from_srt(a).ok());
  }
}

// Random stream ids of the pieces that matter to anybody who reads them: what Weir judged is what
// SRS does, and what a second Weir behind this one would judge.
TEST_CASE("what was judged is what SRS finds") {
  static const std::vector<std::string> pieces = {"#!::",
                                                  "#!:{",
                                                  "}",
                                                  "{",
                                                  "r",
                                                  "h",
                                                  "m",
                                                  "u",
                                                  "R",
                                                  "M",
                                                  " ",
                                                  "x",
                                                  "t",
                                                  "=",
                                                  "=",
                                                  "=",
                                                  ",",
                                                  ",",
                                                  ",",
                                                  "&",
                                                  "&&",
                                                  ";",
                                                  "?",
                                                  "/",
                                                  "/",
                                                  ":",
                                                  "//",
                                                  "live",
                                                  "live/public",
                                                  "live/secret",
                                                  "publish",
                                                  "request",
                                                  "play",
                                                  "mode",
                                                  "vhost",
                                                  "domain",
                                                  "v.example",
                                                  "uplive.",
                                                  "live.",
                                                  "%2C",
                                                  "%3D",
                                                  "%2561",
                                                  "%61",
                                                  "%",
                                                  "#!::r=live/a,m=publish",
                                                  "r=live/secret",
                                                  "m=publish",
                                                  "\n",
                                                  "..",
                                                  "."};
  std::mt19937 random(20261126);
  int passed = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string text = random() % 3 != 0 ? "#!::r=live/public," : "";
    if (random() % 3 == 0) text += "m=request,";
    for (std::size_t n = random() % 10; n > 0; --n) text += pieces[random() % pieces.size()];
    const std::string sent = sent_on(text);
    if (sent.empty()) continue;
    ++passed;
    srt::StreamId id;
    REQUIRE(srt::parse_stream_id(text, {}, id) == srt::StreamIdError::kNone);
    const StreamKey key = from_srt(id);
    const SrsReading read = srs_reads(sent);
    CAPTURE(text);
    CAPTURE(sent);
    REQUIRE(read.accepted);
    const std::string vhost = read.vhost.empty() ? std::string(kDefaultVhost) : read.vhost;
    REQUIRE(vhost + "/" + read.path == key.text);
    REQUIRE(read.publish == (id.mode == srt::Mode::kPublish));
    REQUIRE(sent_on(sent) == sent);
    REQUIRE(key_of(sent).text == key.text);
  }
  CHECK(passed > 5'000);
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
