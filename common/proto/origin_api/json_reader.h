// JsonReader: the tokens of a JSON text (RFC 8259) that comes in pieces of any size. Pure; no tree
// and no copy: some 600 bytes whatever the text is. How it was cut never matters. Strict in its
// grammar, since a broken answer proves nothing; lenient in what one stream's name can do to it:
// raw control bytes and bytes that are no UTF-8 pass in strings, as servers write them. The text
// is one object or array. Owner: one answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/bytes.h"
#include "common/proto/origin_api/stream_row.h"

namespace weir::origin_api {

enum class JsonToken : std::uint8_t {
  kNeedMore,  // all of `in` was taken
  kInvalid,   // error() says why
  kKey,       // text(); its value follows
  kString,    // text()
  kNumber,    // number()
  kTrue,
  kFalse,
  kNull,
  kBeginObject,  // depth() counts it already
  kEndObject,    // depth() counts it no more
  kBeginArray,
  kEndArray,
};

class JsonReader {
 public:
  static constexpr std::size_t kDepthMax = 32;

  // Takes bytes from the front of `in`.
  JsonToken next(ByteView& in);

  // Of a key or string, unescaped; lives until the next call and as long as the bytes given. What
  // is_cut() shows its beginning only.
  std::string_view text() const { return text_; }
  bool is_cut() const { return cut_; }
  // Negative ones are 0, fractions are cut off, what is too large is the largest.
  std::uint64_t number() const;
  std::size_t depth() const { return depth_; }
  // The whole text has been read; white space may follow.
  bool complete() const { return expect_ == Expect::kEnd; }
  std::string_view error() const { return error_; }

 private:
  enum class Lex : std::uint8_t { kNone, kString, kEscape, kUnicode, kNumber, kWord };
  enum class Expect : std::uint8_t {
    kRoot,
    kValue,
    kValueOrEnd,
    kKey,
    kKeyOrEnd,
    kColon,
    kCommaOrEnd,
    kEnd,
  };
  struct Cursor {
    const std::uint8_t* at;
    const std::uint8_t* end;
  };
  // Of a number: digits, and how many of them stand behind the point.
  struct Number {
    std::uint64_t digits = 0;
    std::int32_t scale = 0;
    std::int32_t exponent = 0;
    bool negative = false;
    bool in_fraction = false;
    bool in_exponent = false;
    bool exponent_negative = false;
    bool has_digit = false;
  };

  JsonToken step(Cursor& in);
  JsonToken begin(std::uint8_t byte, Cursor& in);
  JsonToken open(bool is_object);
  JsonToken close(bool is_object);
  JsonToken go_on(Cursor& in);
  JsonToken go_on_string(Cursor& in);
  JsonToken go_on_number(Cursor& in);
  JsonToken go_on_word(Cursor& in);
  bool take_escape(std::uint8_t byte);
  bool take_unicode(std::uint8_t byte);
  void append_code(std::uint32_t code);
  void flush_surrogate();
  bool take_digit(std::uint8_t byte);
  JsonToken end_string();
  JsonToken end_value(JsonToken token);
  JsonToken fail(std::string_view why);
  bool wants_value() const;
  bool in_object() const { return depth_ > 0 && ((objects_ >> (depth_ - 1)) & 1U) != 0; }

  Lex lex_ = Lex::kNone;
  Expect expect_ = Expect::kRoot;
  bool cut_ = false;
  std::uint8_t unicode_digits_ = 0;
  std::uint32_t unicode_ = 0;
  std::uint32_t high_surrogate_ = 0;  // waits for the low one; 0: none
  std::uint32_t objects_ = 0;         // bit by depth: an object, else an array
  std::size_t depth_ = 0;
  Number number_;
  std::string_view text_;
  std::string_view error_;
  NameText buffer_;  // a string that was cut or has escapes; a word
};

}  // namespace weir::origin_api
