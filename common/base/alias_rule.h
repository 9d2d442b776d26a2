// One alias rule: a pattern for what clients ask, and the names that it stands for. Text in, parts
// out; knows nothing of stream keys (common/route/alias.h has those). Pure. Bounded by
// limits::kAlias...; matching goes once over the text, from the right, and never back. Errors: a
// text that says what is wrong. docs/STREAMS.md, "Aliases".
//
//   pattern  = [ "//" part ] path [ "?" param *( "&" param ) ]     //host: only of that vhost
//   target   = [ "//" part ] path                                  without: the vhost stays
//   path     = 1*( "/" ( "[name*]" / part ) )                      [name*]: one or more segments
//   part     = 1*( text / "[name]" / "[name:a|b]" / "(a|b|)" )     in targets: text and [name]
//   param    = name "=" ( text / "[name]" )
//
// [name] is one or more bytes of one segment: up to the last place where what stands before it in
// the pattern is found. [number] is digits, [vhost] a host name with a dot; [any] may be there more
// than once, as it is used by nothing. Text is compared as it is, after percent-escapes are undone;
// hosts without regard to case.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/limits.h"
#include "common/base/result.h"

namespace weir {

struct AliasPart {
  enum class Kind : std::uint8_t {
    kText,
    kAny,       // a capture: whatever is there
    kNumber,    // digits
    kHost,      // a host name with a dot
    kSegments,  // one or more whole segments
    kChoice,    // one of `choices`
  };
  Kind kind = Kind::kText;
  std::string text;                              // kText
  std::vector<std::string> choices;              // kChoice; the first that fits counts
  std::size_t capture = limits::kAliasCaptures;  // which one it sets or names; that number: none
};
using AliasSegment = std::vector<AliasPart>;
using AliasCaptures = std::array<std::string_view, limits::kAliasCaptures>;

struct AliasPattern {
  AliasSegment host;  // empty: any
  std::vector<AliasSegment> path;
  struct Param {
    std::string name;
    AliasPart value;
  };
  std::vector<Param> params;
  std::vector<std::string> captures;  // their names
  bool many = false;                  // one segment of the path is [name*]
  bool names_file = false;            // the last segment ends in text with a dot: `.m3u8`
};

struct AliasTarget {
  AliasSegment host;  // empty: as it was
  std::vector<AliasSegment> path;
};

Result<AliasPattern> parse_alias_pattern(std::string_view text);
// `pattern`: whose captures it may name.
Result<AliasTarget> parse_alias_target(std::string_view text, const AliasPattern& pattern);

// A path (`/live/cam.m3u8`, unescaped) in segments; none if it has more than fit.
struct AliasPath {
  explicit AliasPath(std::string_view path);
  std::array<std::string_view, limits::kAliasSegments> segment;
  std::size_t count = 0;
};

// Captures are views into what was matched; those that a match does not set stay as they were.
bool match_alias_segment(const AliasSegment& segment, std::string_view text,
                         AliasCaptures& captures);
bool match_alias_path(const AliasPattern& pattern, const AliasPath& path, AliasCaptures& captures);
// The text of a part of a target.
std::string expand_alias(const AliasSegment& segment, const AliasCaptures& captures);

}  // namespace weir
