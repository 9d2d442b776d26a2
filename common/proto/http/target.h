// What a request target says: a safe file path, query parameters, the media type. Pure. Queries are
// edited without touching the bytes of other parameters, since tokens are often signed as written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::http {

// Replaces `out` by the text with %XX decoded once. False: a `%` that begins no escape.
bool percent_decode(std::string_view text, std::string& out);
// Appends the text with all but unreserved characters and those in `keep` escaped.
void percent_encode(std::string_view text, std::string_view keep, std::string& out);

enum class PathError : std::uint8_t {
  kNone,
  kNotAbsolute,  // doesn't begin with `/`
  kBadEscape,
  kControlByte,  // NUL among them, raw or escaped
  kBackslash,
  kEscapedSlash,  // %2F: whether it separates is for nobody to guess
  kAboveRoot,     // any `..` segment, raw or escaped
};
std::string_view to_string(PathError error);

// The path below a root for static files: unescaped once, without the leading `/`, without `.` and
// empty segments; a trailing slash is kept. `/a//./b/` is `a/b/`, `/` is empty. A `..` is an
// error even where it would stay inside.
PathError normalise_path(std::string_view path, std::string& out);

// A path as it goes on, in the one spelling that all servers read alike: without empty and `.`
// segments, escapes decoded where the byte may stand in a path as it is, the others in upper case;
// a `%` that begins none is `%25`. Refused as by normalise_path(), but for kBadEscape and
// kBackslash. Replaces `out`.
PathError canonical_path(std::string_view path, std::string& out);
// One segment of it, appended. It may be empty, `.` or `..` then.
PathError append_canonical_segment(std::string_view segment, std::string& out);

// ---- queries: `a=1&b=2`, without the `?`. Names are compared after unescaping.

struct QueryParam {
  std::string_view name;   // as written
  std::string_view value;  // as written; empty without `=`
  std::string_view whole;  // `name=value`
};
// Takes the next parameter from the front of `query`; empty ones are skipped. False at the end.
bool next_param(std::string_view& query, QueryParam& param);
// The raw value of the first parameter of that name.
std::optional<std::string_view> find_param(std::string_view query, std::string_view name);
// The query without the parameters of that name; all other bytes in their order.
std::string remove_param(std::string_view query, std::string_view name);
// Appends `name=value`, with `&` if something stands before. Both are written as they are: the
// caller escapes what isn't URL-safe.
void append_param(std::string& query, std::string_view name, std::string_view value);

// ---- media types

// By the extension of the last segment, `application/octet-stream` when unknown.
std::string_view media_type(std::string_view path);
// The extension with its dot, as written, of the last segment; empty if there is none.
std::string_view path_extension(std::string_view path);

}  // namespace weir::http
