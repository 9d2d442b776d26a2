// Paths of static files, queries, media types.
#include <doctest/doctest.h>

#include <string>

#include "common/proto/http/target.h"

namespace weir::http {

TEST_CASE("http path") {
  struct Row {
    std::string_view path;
    PathError error;
    const char* out;
  };
  const Row rows[] = {
      {"/", PathError::kNone, ""},
      {"//", PathError::kNone, ""},
      {"/a/b.js", PathError::kNone, "a/b.js"},
      {"/a//./b/", PathError::kNone, "a/b/"},
      {"/a/.", PathError::kNone, "a/"},
      {"/%61%20b", PathError::kNone, "a b"},
      {"/%2561", PathError::kNone, "%61"},
      {"/...", PathError::kNone, "..."},
      {"/..a/.b", PathError::kNone, "..a/.b"},
      {"", PathError::kNotAbsolute, ""},
      {"a", PathError::kNotAbsolute, ""},
      {"*", PathError::kNotAbsolute, ""},
      {"/..", PathError::kAboveRoot, ""},
      {"/a/../b", PathError::kAboveRoot, ""},
      {"/%2e%2E/etc", PathError::kAboveRoot, ""},
      {"/.%2e/etc", PathError::kAboveRoot, ""},
      {"/a%2f..%2fb", PathError::kEscapedSlash, ""},
      {"/a\\..\\b", PathError::kBackslash, ""},
      {"/a%5c..", PathError::kBackslash, ""},
      {"/a%00.html", PathError::kControlByte, ""},
      {"/a%0a", PathError::kControlByte, ""},
      {"/a%", PathError::kBadEscape, ""},
      {"/a%4", PathError::kBadEscape, ""},
      {"/a%zz", PathError::kBadEscape, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.path);
    std::string out;
    CHECK(to_string(normalise_path(row.path, out)) == to_string(row.error));
    if (row.error == PathError::kNone) CHECK(out == row.out);
  }
}

TEST_CASE("http query") {
  CHECK(find_param("a=1&b=2&b=3", "b") == "2");
  CHECK(find_param("a&b=", "a") == "");
  CHECK(find_param("%61=1", "a") == "1");
  CHECK(find_param("xa=1", "a") == std::nullopt);
  CHECK(find_param("a%=1", "a") == std::nullopt);
  CHECK(find_param("", "a") == std::nullopt);
  CHECK(remove_param("a=1&w=x&b=%2f", "w") == "a=1&b=%2f");
  CHECK(remove_param("w=1&w", "w") == "");
  CHECK(remove_param("a=1&&b=2&", "w") == "a=1&&b=2&");
  CHECK(remove_param("%77=1&a", "w") == "a");
  CHECK(remove_param("", "w") == "");
  std::string query;
  append_param(query, "w", "1");
  append_param(query, "v", "2");
  CHECK(query == "w=1&v=2");
  std::string encoded;
  percent_encode("a b/ä&\"", "/", encoded);
  CHECK(encoded == "a%20b/%C3%A4%26%22");
  std::string decoded;
  CHECK(percent_decode(encoded, decoded));
  CHECK(decoded == "a b/ä&\"");
}

TEST_CASE("http media types") {
  CHECK(media_type("/a/b.M3U8") == "application/vnd.apple.mpegurl");
  CHECK(media_type("x.html") == "text/html; charset=utf-8");
  CHECK(media_type("x.tar.gz") == "application/gzip");
  CHECK(media_type("/a.b/c") == "application/octet-stream");
  CHECK(media_type("/.html") == "application/octet-stream");
  CHECK(path_extension("/a.b/c.ts") == ".ts");
  CHECK(path_extension("") == "");
}

}  // namespace weir::http
