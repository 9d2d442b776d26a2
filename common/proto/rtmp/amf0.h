// AMF0 (Action Message Format 0), the part that RTMP commands use. Pure, bounded: depth, number of
// values and sizes are checked before anything is followed. Types without a use in commands
// (reference, movie clip, XML, typed object, switch to AMF3) are errors, also when skipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/limits.h"

namespace weir::amf0 {

enum class Marker : std::uint8_t {
  kNumber = 0x00,
  kBoolean = 0x01,
  kString = 0x02,
  kObject = 0x03,
  kNull = 0x05,
  kUndefined = 0x06,
  kEcmaArray = 0x08,
  kObjectEnd = 0x09,
  kStrictArray = 0x0A,
  kDate = 0x0B,
  kLongString = 0x0C,
  kNone = 0xFF,  // the end of the input, or a type that is not read
};

// Reads values one after another. Every read_* consumes one value and returns false, for good, on
// another type, a cut value or a passed limit. Strings are views into the input.
class Reader {
 public:
  explicit Reader(ByteView in) : in_(in) {}

  bool at_end() const { return in_.empty(); }
  bool ok() const { return ok_; }
  Marker peek() const;

  bool read_number(double& value);
  bool read_boolean(bool& value);
  bool read_string(std::string_view& value);  // short or long
  bool read_null();                           // null or undefined
  bool skip();                                // any value, nested ones included

  // An object or ECMA array: begin_object(), then next_key() and one value each until `end`.
  bool begin_object();
  bool next_key(std::string_view& key, bool& end);

 private:
  bool fail();
  bool take(std::size_t n, const std::uint8_t*& p);
  bool take_marker(Marker marker);
  bool skip_value(std::size_t depth);
  bool skip_members(std::size_t depth);

  ByteView in_;
  std::size_t items_ = 0;
  bool ok_ = true;
};

// Appends values to a buffer. REQUIRES: strings below 64 kB.
class Writer {
 public:
  explicit Writer(std::vector<std::uint8_t>& out) : out_(out) {}

  Writer& number(double value);
  Writer& boolean(bool value);
  Writer& string(std::string_view value);
  Writer& null();
  Writer& undefined();
  Writer& date(double ms_since_epoch);
  Writer& begin_object();
  Writer& begin_ecma_array(std::uint32_t count);
  Writer& begin_strict_array(std::uint32_t count);  // followed by `count` values, no end
  Writer& key(std::string_view name);               // then one value
  Writer& end_object();                             // of an object or ECMA array

 private:
  void marker(Marker m) { out_.push_back(static_cast<std::uint8_t>(m)); }
  void text(std::string_view value);
  void real(double value);

  std::vector<std::uint8_t>& out_;
};

}  // namespace weir::amf0
