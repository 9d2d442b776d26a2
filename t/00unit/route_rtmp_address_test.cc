// RTMP addresses: what is sent on, read by models of SRS's and nginx-rtmp's parsers, names the
// stream that the key names.
#include <doctest/doctest.h>

#include <random>
#include <string>

#include "common/route/rtmp_address.h"

namespace weir::route {
namespace {

struct Case {
  const char* tc_url;
  const char* app;
  const char* stream;
  const char* key;
  // What is sent on; null: as it came.
  const char* tc_sent = nullptr;
  const char* app_sent = nullptr;
  const char* stream_sent = nullptr;
};
constexpr Case kCases[] = {
    {"rtmp://1.2.3.4/live", "live", "cam", "__defaultVhost__/live/cam"},
    {"rtmp://1.2.3.4/live/", "live/", "cam?a=/b", "__defaultVhost__/live/cam"},
    {"rtmp://1.2.3.4/live?t=/x/", "live?t=/x/", "cam", "__defaultVhost__/live/cam"},
    {"", "live", "cam", "__defaultVhost__/live/cam"},
    {"rtmp://a.example.com/live", "", "cam", "a.example.com/live/cam"},
    {"rtmp://1.2.3.4/live", "live", "cam/", "__defaultVhost__/live/cam", nullptr, nullptr, "cam"},
    {"rtmp://1.2.3.4/live", "live", "/cam\r\n", "__defaultVhost__/live/cam", nullptr, nullptr,
     "cam"},
    {"rtmp://1.2.3.4/live ", "live\n", "cam", "__defaultVhost__/live/cam", "rtmp://1.2.3.4/live",
     "live"},
    {"rtmp://1.2.3.4/live", "live", "my cam?a b", "__defaultVhost__/live/my cam", nullptr, nullptr,
     "my%20cam?a%20b"},
    {"rtmp://1.2.3.4/live", "live", "cam#x", "__defaultVhost__/live/cam", nullptr, nullptr,
     "cam?x"},
    {"rtmp://1.2.3.4/live/cam", "live/cam", "", "__defaultVhost__/live/cam", "rtmp://1.2.3.4/live",
     "live", "cam"},
    {"rtmp://1.2.3.4/live/cam?k=1", "live/cam?k=1", "?j=2", "__defaultVhost__/live/cam",
     "rtmp://1.2.3.4/live?k=1", "live?k=1", "cam?j=2"},
    {"rtmp://1.2.3.4/live?vhost=v.org/cam", "live?vhost=v.org/cam", "", "v.org/live/cam",
     "rtmp://1.2.3.4/live?vhost=v.org", "live?vhost=v.org", "cam"},
    {"rtmp://1.2.3.4", "", "cam", "__defaultVhost__/__defaultApp__/cam",
     "rtmp://1.2.3.4/__defaultApp__"},
    {"rtmp://1.2.3.4/other", "live", "cam", "__defaultVhost__/live/cam", "rtmp://1.2.3.4/live"},
    {"live", "live", "cam", "__defaultVhost__/live/cam", "rtmp://__defaultVhost__/live"},
    {"rtmp://1.2.3.4/live/_definst_", "live/_definst_", "cam", "__defaultVhost__/live/cam",
     "rtmp://1.2.3.4/live", "live"},
    {"rtmp://1.2.3.4/live...vhost...v.org", "live...vhost...v.org", "cam", "v.org/live/cam",
     "rtmp://1.2.3.4/live?vhost=v.org", "live?vhost=v.org"},
    {"rtmp://1.2.3.4/live", "live?vhost=v.org&a=1", "cam", "v.org/live/cam",
     "rtmp://1.2.3.4/live?vhost=v.org"},
    {"rtmp://1.2.3.4/live?vhost=v.org:1935/x", "live", "cam", "v.org/live/cam",
     "rtmp://1.2.3.4/live?vhost=v.org"},
    {"rtmp://a.org/live?vhost=__defaultVhost__", "live", "cam", "__defaultVhost__/live/cam",
     "rtmp://__defaultVhost__/live?vhost=__defaultVhost__"},
};

TEST_CASE("what is sent on for an RTMP address") {
  for (const Case& c : kCases) {
    CAPTURE(c.tc_url);
    CAPTURE(c.app);
    CAPTURE(c.stream);
    const RtmpAddress a = rtmp_address(c.tc_url, c.app, c.stream);
    CHECK(a.key.text == c.key);
    CHECK(a.tc_url == (c.tc_sent != nullptr ? c.tc_sent : c.tc_url));
    CHECK(a.app == (c.app_sent != nullptr ? c.app_sent : c.app));
    CHECK(a.stream == (c.stream_sent != nullptr ? c.stream_sent : c.stream));
  }
}

TEST_CASE("RTMP addresses that are refused") {
  const auto error = [](const char* tc_url, const char* app, const char* stream) {
    return rtmp_address(tc_url, app, stream).key.error;
  };
  const char* url = "rtmp://1.2.3.4/live";
  CHECK(error(url, "live", "") == KeyError::kEmptyStream);
  CHECK(error(url, "live", "cam\nera") == KeyError::kControlByte);
  CHECK(error(url, "live", std::string("cam\0era", 7).c_str()) == KeyError::kNone);
  CHECK(rtmp_address(url, "live", std::string_view("cam\0era", 7)).key.error ==
        KeyError::kControlByte);
  CHECK(error(url, "live", "a//b") == KeyError::kBadSegment);
  CHECK(error(url, "live", "public/_definst_x") == KeyError::kBadSegment);
  CHECK(error("rtmp://h/live?vhost=a.org", "live", "cam?vhost=b.org") == KeyError::kAmbiguous);
  CHECK(error("rtmp://h/live?vhost=a.org&domain=b.org", "live", "cam") == KeyError::kAmbiguous);
  CHECK(error("rtmp://h/live?vhost=a.org", "live?vhost=a.org", "cam") == KeyError::kNone);
}

std::string without(std::string text, std::string_view bytes) {
  std::erase_if(text, [bytes](char c) { return bytes.find(c) != bytes.npos; });
  return text;
}

std::string decoded(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text.compare(i, 3, "%20") == 0 || text.compare(i, 3, "%2F") == 0;
    if (escape) {
      out += text[i + 2] == '0' ? ' ' : '/';
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// app/stream as SRS finds it: tcUrl and name as one URL, whose last slash begins the stream even
// where it stands in a query.
std::string srs_reads(const std::string& tc_url, const std::string& name) {
  std::string url = tc_url + "/" + name;
  const std::size_t query = url.find_first_of("?#");
  const std::size_t slash = url.rfind('/');
  if (query != url.npos && query < slash) url = url.substr(0, query) + url.substr(slash);
  url = url.substr(0, url.find_first_of("?#"));
  for (std::size_t at; (at = url.find("/_definst_")) != url.npos;) url.erase(at, 10);
  const std::size_t path = url.find('/', url.find("://") + 3);
  url = without(url.substr(path + 1), " \t\r\n");
  const std::size_t last = url.rfind('/');
  std::string app = last == url.npos ? "" : url.substr(0, last);
  while (app.starts_with('/')) app.erase(0, 1);
  while (app.ends_with('/')) app.pop_back();
  if (app.empty()) app = "__defaultApp__";
  return app + "/" + url.substr(last + 1);
}

// app/stream as nginx-rtmp finds it: each up to a NUL and to `?`.
std::string nginx_reads(const std::string& app, const std::string& name) {
  std::string path = app.substr(0, app.find_first_of(std::string_view("?\0", 2)));
  if (path.ends_with('/')) path.pop_back();
  return path + "/" + name.substr(0, name.find_first_of(std::string_view("?\0", 2)));
}

TEST_CASE("SRS and nginx-rtmp find the stream that was judged") {
  static constexpr std::string_view kParts[] = {
      "live", "a",   "/", "/", "?",  "k=v", "&",      "#",         " ",       "\n",
      "cam",  "b/c", "x", "=", "//", ".",   "token=", "_definst_", "/public", "secret"};
  std::mt19937 random(20261126);
  const auto text = [&](int most) {
    std::string out;
    for (auto n = static_cast<int>(random() % static_cast<unsigned>(most)); n >= 0; --n) {
      out += kParts[random() % std::size(kParts)];
    }
    return out;
  };
  int judged = 0;
  for (int i = 0; i < 200'000; ++i) {
    const std::string app = random() % 8 == 0 ? "" : text(4);
    const std::string tc_url = "rtmp://1.2.3.4/" + (random() % 2 == 0 ? app : text(4));
    const std::string stream = random() % 8 == 0 ? "" : text(6);
    const RtmpAddress a = rtmp_address(tc_url, app, stream);
    if (!a.key.ok()) continue;
    ++judged;
    CAPTURE(tc_url);
    CAPTURE(app);
    CAPTURE(stream);
    const std::string key = a.key.text.substr(a.key.app_at);
    REQUIRE(decoded(srs_reads(a.tc_url, a.stream_for_srs)) == key);
    if (nginx_reads(a.app, "").starts_with('/')) continue;  // no app: it has no such application
    REQUIRE(decoded(nginx_reads(a.app, a.stream)) == key);
    const RtmpAddress again = rtmp_address(a.tc_url, a.app, a.stream);  // at a second Weir
    REQUIRE(again.key.text == a.key.text);
    REQUIRE(again.stream == a.stream);
  }
  CHECK(judged > 20'000);
}

}  // namespace
TEST_CASE("a vhost in the app alone is written into tcUrl as it is written in the app") {
  const RtmpAddress once = rtmp_address("", "live?vhost=m= ta@ost", "cam");
  REQUIRE(once.key.ok());
  const RtmpAddress twice = rtmp_address(once.tc_url, once.app, once.stream);
  CHECK(twice.key.text == once.key.text);
}

}  // namespace weir::route
