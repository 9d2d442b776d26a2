// The stateless pin: form, MAC, scope.
#include <doctest/doctest.h>

#include <set>
#include <string>

#include "common/base/bytes.h"
#include "common/proto/hls/playlist.h"
#include "common/route/origin_hint.h"

namespace weir::route {
namespace {

TEST_CASE("a hint comes back as the fingerprint, with its scope and key only") {
  const HintKey key = derive_hint_key("a secret");
  const std::uint64_t fingerprint = origin_fingerprint(key, "10.0.0.7:8080");
  const std::string hint = make_hint(key, fingerprint, "live");
  CHECK(hint.size() == kHintChars);
  CHECK(
      hint.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
      std::string::npos);
  const auto parsed = parse_hint(hint);
  REQUIRE(parsed);
  CHECK(parsed->fingerprint == fingerprint);
  CHECK(verify_hint(key, *parsed, "live"));
  CHECK_FALSE(verify_hint(key, *parsed, "vod"));
  CHECK_FALSE(verify_hint(key, *parsed, ""));
  CHECK_FALSE(verify_hint(derive_hint_key("another"), *parsed, "live"));
  CHECK_FALSE(verify_hint(derive_hint_key(""), *parsed, "live"));

  CHECK(read_hint(key, hint, "/live/cam-0.ts") == fingerprint);
  CHECK(read_hint(key, hint, "/live/cam/0.ts") == fingerprint);
  CHECK_FALSE(read_hint(key, hint, "/vod/cam-0.ts"));
  CHECK_FALSE(read_hint(key, hint, "/live"));
  CHECK_FALSE(read_hint(key, "", "/live/cam-0.ts"));
}

TEST_CASE("two instances agree on keys, fingerprints and hints") {
  for (const std::string_view secret : {"", "s", "a much longer secret than sixteen bytes"}) {
    const HintKey a = derive_hint_key(secret), b = derive_hint_key(secret);
    const auto endpoint = parse_origin_endpoint("http://10.0.0.7:8080", Endpoint());
    REQUIRE(endpoint);
    CHECK(origin_fingerprint(a, *endpoint) == origin_fingerprint(b, "10.0.0.7:8080"));
    CHECK(make_hint(a, 1, "x") == make_hint(b, 1, "x"));
  }
  const HintKey key = derive_hint_key("");
  CHECK(key.mac.k0 != key.mac.k1);
  CHECK(key.mac.k0 != key.fingerprint.k0);
  CHECK(origin_fingerprint(key, "10.0.0.7:8080") != origin_fingerprint(key, "10.0.0.7:8081"));
}

TEST_CASE("hints of other instances stay valid: the form is fixed") {
  // Changing these breaks a rolling upgrade of instances behind one balancer.
  CHECK(make_hint(derive_hint_key("golden"), 0x0123456789abcdefULL, "live") ==
        "ASNFZ4mrze96XYHBBXpexw");
}

TEST_CASE("any single changed character is refused") {
  const HintKey key = derive_hint_key("k");
  const std::string hint = make_hint(key, origin_fingerprint(key, "10.0.0.7:80"), "live");
  for (std::size_t i = 0; i < hint.size(); ++i) {
    for (int c = 0; c < 256; ++c) {
      std::string changed = hint;
      if (changed[i] == static_cast<char>(c)) continue;
      changed[i] = static_cast<char>(c);
      const auto parsed = parse_hint(changed);
      CHECK_FALSE((parsed && verify_hint(key, *parsed, "live")));
    }
  }
  CHECK_FALSE(parse_hint(""));
  CHECK_FALSE(parse_hint(hint.substr(1)));
  CHECK_FALSE(parse_hint(hint + "A"));
  CHECK_FALSE(parse_hint(std::string(kHintChars, 'A').replace(21, 1, "B")));
}

TEST_CASE("hints differ by origin and scope") {
  const HintKey key = derive_hint_key("k");
  std::set<std::string> seen;
  for (int port = 1; port <= 100; ++port) {
    const auto fingerprint = origin_fingerprint(key, "10.0.0.7:" + std::to_string(port));
    for (const std::string_view scope : {"", "a", "b", "live"}) {
      seen.insert(make_hint(key, fingerprint, scope));
    }
  }
  CHECK(seen.size() == 400);
}

TEST_CASE("scopes") {
  CHECK(hint_scope("/live/cam.m3u8") == "live");
  CHECK(hint_scope("/live/a/b/0.ts") == "live");
  CHECK(hint_scope("/cam.m3u8") == "");
  CHECK(hint_scope("/") == "");
  CHECK(hint_scope("") == "");
  CHECK(hint_scope("//x/y") == "");
}

TEST_CASE("hints in queries") {
  CHECK(hint_in_query("weir=abc") == "abc");
  CHECK(hint_in_query("a=1&weir=abc&weir=d") == "abc");
  CHECK(hint_in_query("weir") == "");
  CHECK(hint_in_query("xweir=1&weird=2") == "");
  CHECK(query_without_hint("") == "");
  CHECK(query_without_hint("a=1&b") == "a=1&b");
  CHECK(query_without_hint("a=1&") == "a=1&");
  CHECK(query_without_hint("&&a") == "&&a");
  CHECK(query_without_hint("weir=abc") == "");
  CHECK(query_without_hint("weir=abc&a=1") == "a=1");
  CHECK(query_without_hint("a=1&weir=abc") == "a=1");
  CHECK(query_without_hint("a=1&weir=abc&b=2&weir") == "a=1&b=2");
  CHECK(query_without_hint("weird=1&a=weir") == "weird=1&a=weir");
  CHECK(query_without_hint("a=1&&weir=abc&") == "a=1&&");
}

TEST_CASE("hints nest: the last one is ours, and what stands beside it") {
  struct Row {
    std::string_view query, hint, companion, rest;
  };
  const Row rows[] = {
      {"", "", "", ""},
      {"a=1&b", "", "", "a=1&b"},
      {"a=1&", "", "", "a=1&"},
      {"weir=h", "h", "", ""},
      {"weir", "", "", ""},
      {"a=1&of=9&weir=h&b=2", "h", "9", "a=1&b=2"},
      {"of=5&weir=inner&of=9&weir=outer", "outer", "9", "of=5&weir=inner"},
      {"of=5&weir=inner&weir=outer&t=1", "outer", "", "of=5&weir=inner&t=1"},
      {"of=5&x&weir=h", "h", "", "of=5&x"},
      {"of=5&of=9", "", "9", "of=5"},
      {"weird=1&offer=2", "", "", "weird=1&offer=2"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.query);
    const OwnParams own = take_own_params(row.query, "of");
    CHECK(own.hint == row.hint);
    CHECK(own.companion == row.companion);
    CHECK(own.rest == row.rest);
  }
}

TEST_CASE("kept hints are those that would be made, also when places are shared") {
  const HintKey key = derive_hint_key("k");
  HintCache cache(key);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 200; ++i) {
      const auto endpoint = parse_listen("10.0.0.7:" + std::to_string(8000 + i % 20));
      REQUIRE(endpoint);
      const std::string scope = i % 7 == 0 ? "" : "app" + std::to_string(i);
      CHECK(cache.of(*endpoint, scope) ==
            make_hint(key, origin_fingerprint(key, *endpoint), scope));
    }
  }
}

TEST_CASE("what a playlist carries is what a request for its segments proves") {
  const HintKey key = derive_hint_key("k");
  const std::uint64_t fingerprint = origin_fingerprint(key, "10.0.0.7:80");
  hls::RewriteOptions options;
  options.path = "/live/cam.m3u8";
  options.pin_name = kHintParameter;
  options.pin_for = [&](std::string_view scope) { return make_hint(key, fingerprint, scope); };
  std::string out;
  REQUIRE(hls::rewrite_playlist(as_bytes("#EXTM3U\n/keys/cam/0.key"), options, out) ==
          hls::RewriteStatus::kOk);
  const std::size_t mark = out.find('?');
  REQUIRE(mark != std::string::npos);
  const OwnParams own = take_own_params(std::string_view(out).substr(mark + 1), "of");
  CHECK(read_hint(key, own.hint, "/keys/cam/0.key") == fingerprint);
}

}  // namespace
}  // namespace weir::route
