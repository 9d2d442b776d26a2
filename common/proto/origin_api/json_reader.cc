#include "common/proto/origin_api/json_reader.h"

#include <array>
#include <limits>

#include "common/base/utf8.h"
#include "common/proto/origin_api/scan.h"

namespace weir::origin_api {
namespace {

constexpr std::uint32_t kReplacement = 0xFFFD;
constexpr std::int32_t kExponentMax = 10000;
constexpr std::uint64_t kNumberMax = std::numeric_limits<std::uint64_t>::max();

bool is_space(std::uint8_t byte) {
  return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}
bool is_digit(std::uint8_t byte) {
  return byte >= '0' && byte <= '9';
}
bool is_letter(std::uint8_t byte) {
  return byte >= 'a' && byte <= 'z';
}

// The first quote or backslash, or `end`.
const std::uint8_t* find_string_end(const std::uint8_t* at, const std::uint8_t* end) {
  return find_either(at, end, '"', '\\');
}

std::string_view between(const std::uint8_t* begin, const std::uint8_t* end) {
  return as_text({begin, static_cast<std::size_t>(end - begin)});
}

}  // namespace

JsonToken JsonReader::next(ByteView& in) {
  Cursor cursor{in.data(), in.data() + in.size()};
  const JsonToken token = step(cursor);
  in = {cursor.at, static_cast<std::size_t>(cursor.end - cursor.at)};
  return token;
}

JsonToken JsonReader::fail(std::string_view why) {
  error_ = why;
  return JsonToken::kInvalid;
}

JsonToken JsonReader::step(Cursor& in) {
  if (lex_ != Lex::kNone) return go_on(in);
  while (in.at != in.end) {
    const std::uint8_t byte = *in.at;
    if (is_space(byte)) {
      ++in.at;
    } else if (byte == ':' && expect_ == Expect::kColon) {
      ++in.at;
      expect_ = Expect::kValue;
    } else if (byte == ',' && expect_ == Expect::kCommaOrEnd) {
      ++in.at;
      expect_ = in_object() ? Expect::kKey : Expect::kValue;
    } else {
      return begin(byte, in);
    }
  }
  return JsonToken::kNeedMore;
}

bool JsonReader::wants_value() const {
  return expect_ == Expect::kValue || expect_ == Expect::kValueOrEnd;
}

JsonToken JsonReader::begin(std::uint8_t byte, Cursor& in) {
  if (byte == '}' || byte == ']') {
    ++in.at;
    return close(byte == '}');
  }
  if (byte == '{' || byte == '[') {
    ++in.at;
    return open(byte == '{');
  }
  const bool is_key = expect_ == Expect::kKey || expect_ == Expect::kKeyOrEnd;
  if (byte == '"' ? !is_key && !wants_value() : !wants_value()) return fail("not JSON");
  if (byte == '"') {
    ++in.at;
    lex_ = Lex::kString;
    cut_ = false;
    const std::uint8_t* end = find_string_end(in.at, in.end);
    if (end != in.end && *end == '"') {
      text_ = between(in.at, end);
      in.at = end + 1;
      return end_string();
    }
    buffer_.clear();
    return go_on(in);
  }
  if (byte == '-' || is_digit(byte)) {
    lex_ = Lex::kNumber;
    number_ = {};
    return go_on(in);
  }
  if (!is_letter(byte)) return fail("not JSON");
  lex_ = Lex::kWord;
  buffer_.clear();
  return go_on(in);
}

JsonToken JsonReader::open(bool is_object) {
  if (!wants_value() && expect_ != Expect::kRoot) return fail("not JSON");
  if (depth_ == kDepthMax) return fail("nested too deeply");
  const std::uint32_t bit = std::uint32_t{1} << depth_;
  objects_ = is_object ? objects_ | bit : objects_ & ~bit;
  ++depth_;
  expect_ = is_object ? Expect::kKeyOrEnd : Expect::kValueOrEnd;
  return is_object ? JsonToken::kBeginObject : JsonToken::kBeginArray;
}

JsonToken JsonReader::close(bool is_object) {
  const Expect empty = is_object ? Expect::kKeyOrEnd : Expect::kValueOrEnd;
  if (depth_ == 0 || in_object() != is_object ||
      (expect_ != Expect::kCommaOrEnd && expect_ != empty)) {
    return fail("not JSON");
  }
  --depth_;
  return end_value(is_object ? JsonToken::kEndObject : JsonToken::kEndArray);
}

JsonToken JsonReader::end_value(JsonToken token) {
  lex_ = Lex::kNone;
  expect_ = depth_ == 0 ? Expect::kEnd : Expect::kCommaOrEnd;
  return token;
}

JsonToken JsonReader::end_string() {
  if (wants_value()) return end_value(JsonToken::kString);
  lex_ = Lex::kNone;
  expect_ = Expect::kColon;
  return JsonToken::kKey;
}

JsonToken JsonReader::go_on(Cursor& in) {
  if (lex_ == Lex::kNumber) return go_on_number(in);
  if (lex_ == Lex::kWord) return go_on_word(in);
  return go_on_string(in);
}

JsonToken JsonReader::go_on_string(Cursor& in) {
  while (in.at != in.end) {
    if (lex_ != Lex::kString) {
      const bool fine = lex_ == Lex::kEscape ? take_escape(*in.at) : take_unicode(*in.at);
      if (!fine) return fail("bad escape in a string");
      ++in.at;
      continue;
    }
    const std::uint8_t* end = find_string_end(in.at, in.end);
    if (end != in.at) flush_surrogate();
    buffer_.append(between(in.at, end));
    in.at = end;
    if (end == in.end) break;
    ++in.at;
    if (*end == '\\') {
      lex_ = Lex::kEscape;
      continue;
    }
    flush_surrogate();
    text_ = buffer_.text();
    cut_ = buffer_.is_cut();
    return end_string();
  }
  return JsonToken::kNeedMore;
}

bool JsonReader::take_escape(std::uint8_t byte) {
  if (byte == 'u') {
    lex_ = Lex::kUnicode;
    unicode_ = 0;
    unicode_digits_ = 0;
    return true;
  }
  constexpr std::string_view kEscapes = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  const std::size_t at = kEscapes.find(static_cast<char>(byte));
  if (at == std::string_view::npos) return false;
  flush_surrogate();
  buffer_.append(kMeanings.substr(at, 1));
  lex_ = Lex::kString;
  return true;
}

bool JsonReader::take_unicode(std::uint8_t byte) {
  std::uint32_t digit = 0;
  if (is_digit(byte)) {
    digit = byte - std::uint32_t{'0'};
  } else if ((byte | 0x20U) >= 'a' && (byte | 0x20U) <= 'f') {
    digit = (byte | 0x20U) - std::uint32_t{'a'} + 10;
  } else {
    return false;
  }
  unicode_ = unicode_ * 16 + digit;
  if (++unicode_digits_ < 4) return true;
  lex_ = Lex::kString;
  const bool is_low = unicode_ >= 0xDC00 && unicode_ <= 0xDFFF;
  if (is_low && high_surrogate_ != 0) {
    append_code(0x10000 + ((high_surrogate_ - 0xD800) << 10U) + (unicode_ - 0xDC00));
    high_surrogate_ = 0;
    return true;
  }
  flush_surrogate();
  if (unicode_ >= 0xD800 && unicode_ <= 0xDBFF) {
    high_surrogate_ = unicode_;
  } else {
    append_code(is_low ? kReplacement : unicode_);
  }
  return true;
}

// Half of a pair is no character (RFC 8259, 8.2).
void JsonReader::flush_surrogate() {
  if (high_surrogate_ == 0) return;
  high_surrogate_ = 0;
  append_code(kReplacement);
}

void JsonReader::append_code(std::uint32_t code) {
  std::array<char, 4> out;
  buffer_.append(write_utf8(code, out));
}

JsonToken JsonReader::go_on_number(Cursor& in) {
  for (; in.at != in.end; ++in.at) {
    if (take_digit(*in.at)) continue;
    if (!number_.has_digit) return fail("not JSON");
    return end_value(JsonToken::kNumber);
  }
  return JsonToken::kNeedMore;
}

// False: `byte` is no part of the number. Which order signs and points stand in is not checked.
bool JsonReader::take_digit(std::uint8_t byte) {
  if (is_digit(byte)) {
    number_.has_digit = true;
    const std::uint32_t digit = byte - std::uint32_t{'0'};
    if (number_.in_exponent) {
      number_.exponent =
          std::min(number_.exponent * 10 + static_cast<std::int32_t>(digit), kExponentMax);
    } else if (number_.digits <= (kNumberMax - 9) / 10) {
      number_.digits = number_.digits * 10 + digit;
      if (number_.in_fraction && number_.scale < kExponentMax) ++number_.scale;
    } else if (!number_.in_fraction && number_.scale > -kExponentMax) {
      --number_.scale;  // a digit that counts no more
    }
    return true;
  }
  switch (byte) {
    case '-':
      (number_.in_exponent ? number_.exponent_negative : number_.negative) = true;
      return true;
    case '+':
      return true;
    case '.':
      number_.in_fraction = true;
      return true;
    case 'e':
    case 'E':
      number_.in_exponent = true;
      return true;
    default:
      return false;
  }
}

std::uint64_t JsonReader::number() const {
  if (number_.negative) return 0;
  std::int32_t power = number_.exponent_negative ? -number_.exponent : number_.exponent;
  power -= number_.scale;
  std::uint64_t value = number_.digits;
  for (; power > 0 && value != 0; --power) {
    if (value > kNumberMax / 10) return kNumberMax;
    value *= 10;
  }
  for (; power < 0 && value != 0; ++power) value /= 10;
  return value;
}

JsonToken JsonReader::go_on_word(Cursor& in) {
  const std::uint8_t* begin = in.at;
  while (in.at != in.end && is_letter(*in.at)) ++in.at;
  buffer_.append(between(begin, in.at));
  if (in.at == in.end) return JsonToken::kNeedMore;
  const std::string_view word = buffer_.text();
  if (word == "true") return end_value(JsonToken::kTrue);
  if (word == "false") return end_value(JsonToken::kFalse);
  if (word == "null") return end_value(JsonToken::kNull);
  return fail("not JSON");
}

}  // namespace weir::origin_api
