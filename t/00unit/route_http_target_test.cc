// What a stream's request is judged by is what any origin finds in what is sent on.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "common/route/http_target.h"
#include "common/route/origin_hint.h"
#include "t/00unit/route_query_support.h"

namespace weir::route {
namespace {

using model::nginx_arg;
using model::srs_query;

struct Row {
  std::string_view path, query, key, sent;
};

TEST_CASE("targets: the key, and what is sent on") {
  const Row rows[] = {
      {"/live/cam.flv", "", "__defaultVhost__/live/cam", "/live/cam.flv"},
      {"/live//cam.m3u8", "", "__defaultVhost__/live/cam", "/live/cam.m3u8"},
      {"//live/./cam.m3u8", "a=1", "__defaultVhost__/live/cam", "/live/cam.m3u8?a=1"},
      {"/l%69ve/c%61m.m3u8", "", "__defaultVhost__/live/cam", "/live/cam.m3u8"},
      {"/live/a%20b%c3%a9.ts", "", "__defaultVhost__/live/a b\xC3\xA9", "/live/a%20b%C3%A9.ts"},
      {"/live/100%.ts", "", "__defaultVhost__/live/100%", "/live/100%25.ts"},
      {"/live/a%2541.ts", "", "__defaultVhost__/live/a%41", "/live/a%2541.ts"},
      {"/live/cam/", "", "", "/live/cam/"},
      {"/;cam-0.ts", "", "", "/;cam-0.ts"},
      {"/time", "", "", "/time"},
      // vhost
      {"/live/cam.flv", "vhost=a.b&t=1", "a.b/live/cam", "/live/cam.flv?vhost=a.b&t=1"},
      {"/live/cam.flv", "t=1&vhost=A.b:80", "a.b/live/cam", "/live/cam.flv?vhost=A.b&t=1"},
      {"/live/cam.flv", "flag&domain=a.b", "a.b/live/cam", "/live/cam.flv?vhost=a.b&flag"},
      {"/live/cam.flv", "vhost=&t", "__defaultVhost__/live/cam", "/live/cam.flv?t"},
      {"/live/cam.flv", "t=a,b;c", "__defaultVhost__/live/cam", "/live/cam.flv?t=a,b;c"},
      {"/live/cam.flv", "v%68ost=a.b", "a.b/live/cam", "/live/cam.flv?vhost=a.b"},
      // nginx-http-flv-module
      {"/live", "app=A&stream=S", "__defaultVhost__/A/S", "/live?app=A&stream=S"},
      {"/flv/live", "port=1935&stream=S&app=a/b", "__defaultVhost__/a/b/S",
       "/flv/live?app=a/b&stream=S&port=1935"},
      {"/live", "app=A&stream=S&vhost=v.w", "v.w/A/S", "/live?vhost=v.w&app=A&stream=S"},
      {"/live", "app=A", "", "/live?app=A"},
      {"/live/cam.flv", "app=live&stream=cam", "__defaultVhost__/live/cam",
       "/live/cam.flv?app=live&stream=cam"},
      {"/live/cam.m3u8", "stream=hd", "__defaultVhost__/live/cam", "/live/cam.m3u8?stream=hd"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.path);
    CAPTURE(row.query);
    const HttpTarget target = read_http_target("127.0.0.1:80", row.path, row.query);
    CHECK(target.error == "");
    CHECK(target.key.text == row.key);
    CHECK(target.text() == row.sent);
  }
}

TEST_CASE("targets that could be read in two ways are refused") {
  const std::string_view rows[][2] = {
      {"/live/../x.flv", ""},
      {"/live/%2e%2e/x.flv", ""},
      {"/live/a%2Fb.flv", ""},
      {"/live/a%00.flv", ""},
      {"/live/cam.flv", "vhost=a.b&vhost=c.d"},
      {"/live/cam.flv", "vhost=a.b&domain=c.d"},
      {"/live/cam.flv", "vhost=a.b&VHOST=c.d"},
      {"/live/cam.flv", "t=1;vhost=a.b"},
      {"/live/cam.flv", "t=1,vhost,a.b"},
      {"/live/cam.flv", "t&&x;vhost=a.b"},
      {"/live/cam.flv", "app=live&stream=secret"},
      {"/live", "app=A&stream=S&stream=T"},
      {"/live", "app=A&stream=S&x=;stream=T"},
      {"/live", "app=A&APP=B&stream=S"},
  };
  for (const auto& row : rows) {
    CAPTURE(row[0]);
    CAPTURE(row[1]);
    CHECK(read_http_target("x", row[0], row[1]).error != "");
  }
}

// ---- models of origins (route_query_support.h)

std::string srs_vhost(const std::string& host, const std::string& query) {
  auto all = srs_query(query);
  std::string found = !all["vhost"].empty()    ? all["vhost"]
                      : !all["domain"].empty() ? all["domain"]
                                               : host;
  // Keys are in lower case, names in SRS's configuration may not be.
  for (char& c : found) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return found == "__defaultvhost__" ? std::string(kDefaultVhost) : found;
}

// nginx: escapes decoded, slashes merged.
std::string nginx_path(const std::string& path) {
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '%') {
      c = static_cast<char>(std::stoi(path.substr(i + 1, 2), nullptr, 16));
      i += 2;
    }
    if (c == '/' && out.ends_with('/')) continue;
    out += c;
  }
  return out;
}

std::string path_key(std::string path) {
  path.erase(0, 1);
  for (const std::string_view extension : {".flv", ".m3u8", ".ts"}) {
    if (path.ends_with(extension)) {
      path.resize(path.size() - extension.size());
      break;
    }
  }
  return path;
}

TEST_CASE("whatever is asked: the key is the one that an origin finds in what is sent on") {
  const std::vector<std::string> pieces = {
      "vhost", "domain", "app",   "stream", "=",        "=",
      "&",     "&",      "&&",    ";",      ",",        "?",
      "a.b",   "c.d",    "live",  "cam",    "x",        "%76",
      "host",  "v",      "VHOST", "Stream", "%3D",      "%26",
      "/",     "1",      "t=1&",  "flag",   "%73tream", "app=live&stream=cam"};
  const std::vector<std::string> segments = {"live",    "cam",      "l%69ve", "",      ".",
                                             "..",      "%2e",      "c%61m",  "a%20b", "%2F",
                                             "cam.flv", "cam.m3u8", ";x",     "a=b"};
  std::mt19937 random(20261126);
  const auto pick = [&](const auto& from) { return from[random() % from.size()]; };
  std::size_t judged = 0;
  for (int round = 0; round < 200000; ++round) {
    std::string path, query;
    for (std::size_t n = 1 + random() % 4; n > 0; --n) path += "/" + pick(segments);
    for (std::size_t n = random() % 9; n > 0; --n) query += pick(pieces);
    CAPTURE(path);
    CAPTURE(query);
    const HttpTarget target = read_http_target("e.f", path, query);
    if (!target.error.empty() || !target.key.ok()) continue;
    ++judged;
    CAPTURE(target.text());
    const std::string found = nginx_path(target.path);
    const std::string names =
        nginx_arg(target.query, "app") + "/" + nginx_arg(target.query, "stream");
    REQUIRE(found.find("..") == std::string::npos);
    const std::string rest = target.by_query ? nginx_path(names) : path_key(found);
    REQUIRE(target.key.text == srs_vhost("e.f", target.query) + "/" + rest);
    if (target.by_query) {
      auto all = srs_query(target.query);
      REQUIRE(nginx_path(all["app"] + "/" + all["stream"]) == rest);
    }
    // Judged a second time, by a Weir behind this one, it is the same.
    const HttpTarget again = read_http_target("e.f", target.path, target.query);
    REQUIRE(again.key.text == target.key.text);
    REQUIRE(again.text() == target.text());
  }
  CHECK(judged > 20000);
}

TEST_CASE("hosts") {
  CHECK(canonical_host("Demo.COM.:8080") == "demo.com:8080");
  CHECK(canonical_host("demo.com.") == "demo.com");
  CHECK(canonical_host("[::1]:80") == "[::1]:80");
  CHECK(canonical_host("") == "");
}

}  // namespace
}  // namespace weir::route
