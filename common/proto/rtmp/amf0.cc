#include "common/proto/rtmp/amf0.h"

#include <array>
#include <bit>

namespace weir::amf0 {

bool Reader::fail() {
  ok_ = false;
  return false;
}

Marker Reader::peek() const {
  if (!ok_ || in_.empty()) return Marker::kNone;
  switch (in_[0]) {
    case 0x00:
    case 0x01:
    case 0x02:
    case 0x03:
    case 0x05:
    case 0x06:
    case 0x08:
    case 0x09:
    case 0x0A:
    case 0x0B:
    case 0x0C:
      return static_cast<Marker>(in_[0]);
    default:
      return Marker::kNone;
  }
}

bool Reader::take(std::size_t n, const std::uint8_t*& p) {
  if (!ok_ || in_.size() < n) return fail();
  p = in_.data();
  in_ = in_.subspan(n);
  return true;
}

// Every value passes here once, so this is where values are counted.
bool Reader::take_marker(Marker marker) {
  if (peek() != marker || ++items_ > limits::kAmfItems) return fail();
  in_ = in_.subspan(1);
  return true;
}

bool Reader::read_number(double& value) {
  const std::uint8_t* p = nullptr;
  if (!take_marker(Marker::kNumber) || !take(8, p)) return false;
  value = std::bit_cast<double>(load_be64(p));
  return true;
}

bool Reader::read_boolean(bool& value) {
  const std::uint8_t* p = nullptr;
  if (!take_marker(Marker::kBoolean) || !take(1, p)) return false;
  value = *p != 0;
  return true;
}

bool Reader::read_string(std::string_view& value) {
  const bool is_long = peek() == Marker::kLongString;
  const std::uint8_t* p = nullptr;
  if (!take_marker(is_long ? Marker::kLongString : Marker::kString)) return false;
  if (!take(is_long ? 4 : 2, p)) return false;
  const std::size_t size = is_long ? load_be32(p) : load_be16(p);
  if (!take(size, p)) return false;
  value = as_text({p, size});
  return true;
}

bool Reader::read_null() {
  return take_marker(peek() == Marker::kUndefined ? Marker::kUndefined : Marker::kNull);
}

bool Reader::begin_object() {
  if (peek() != Marker::kEcmaArray) return take_marker(Marker::kObject);
  const std::uint8_t* count = nullptr;  // a hint that senders get wrong; the end marker counts
  return take_marker(Marker::kEcmaArray) && take(4, count);
}

bool Reader::next_key(std::string_view& key, bool& end) {
  const std::uint8_t* p = nullptr;
  if (!take(2, p)) return false;
  const std::size_t size = load_be16(p);
  if (!take(size, p)) return false;
  key = as_text({p, size});
  end = size == 0 && peek() == Marker::kObjectEnd;
  return !end || take(1, p);
}

bool Reader::skip() {
  return skip_value(0);
}

bool Reader::skip_value(std::size_t depth) {
  if (depth >= limits::kAmfDepth) return fail();
  const std::uint8_t* p = nullptr;
  double number = 0;
  bool boolean = false;
  std::string_view text;
  switch (peek()) {
    case Marker::kNumber:
      return read_number(number);
    case Marker::kBoolean:
      return read_boolean(boolean);
    case Marker::kString:
    case Marker::kLongString:
      return read_string(text);
    case Marker::kNull:
    case Marker::kUndefined:
      return read_null();
    case Marker::kDate:
      return take_marker(Marker::kDate) && take(10, p);
    case Marker::kObject:
    case Marker::kEcmaArray:
      return begin_object() && skip_members(depth + 1);
    case Marker::kStrictArray: {
      if (!take_marker(Marker::kStrictArray) || !take(4, p)) return false;
      for (std::uint32_t left = load_be32(p); left > 0; --left) {
        if (!skip_value(depth + 1)) return false;
      }
      return true;
    }
    case Marker::kObjectEnd:
    case Marker::kNone:
      break;
  }
  return fail();
}

bool Reader::skip_members(std::size_t depth) {
  std::string_view key;
  bool end = false;
  while (next_key(key, end)) {
    if (end) return true;
    if (!skip_value(depth)) return false;
  }
  return false;
}

void Writer::text(std::string_view value) {
  const auto size = static_cast<std::uint16_t>(value.size());
  out_.push_back(static_cast<std::uint8_t>(size >> 8));
  out_.push_back(static_cast<std::uint8_t>(size));
  out_.insert(out_.end(), value.begin(), value.begin() + size);
}

void Writer::real(double value) {
  std::array<std::uint8_t, 8> bytes;
  store_be64(bytes.data(), std::bit_cast<std::uint64_t>(value));
  out_.insert(out_.end(), bytes.begin(), bytes.end());
}

Writer& Writer::number(double value) {
  marker(Marker::kNumber);
  real(value);
  return *this;
}
Writer& Writer::boolean(bool value) {
  marker(Marker::kBoolean);
  out_.push_back(value ? 1 : 0);
  return *this;
}
Writer& Writer::string(std::string_view value) {
  marker(Marker::kString);
  text(value);
  return *this;
}
Writer& Writer::null() {
  marker(Marker::kNull);
  return *this;
}
Writer& Writer::undefined() {
  marker(Marker::kUndefined);
  return *this;
}
Writer& Writer::date(double ms_since_epoch) {
  marker(Marker::kDate);
  real(ms_since_epoch);
  out_.insert(out_.end(), {0, 0});  // the time zone, which must be 0
  return *this;
}
Writer& Writer::begin_object() {
  marker(Marker::kObject);
  return *this;
}
Writer& Writer::begin_ecma_array(std::uint32_t count) {
  marker(Marker::kEcmaArray);
  for (int shift = 24; shift >= 0; shift -= 8) {
    out_.push_back(static_cast<std::uint8_t>(count >> shift));
  }
  return *this;
}
Writer& Writer::begin_strict_array(std::uint32_t count) {
  begin_ecma_array(count);
  out_[out_.size() - 5] = static_cast<std::uint8_t>(Marker::kStrictArray);
  return *this;
}
Writer& Writer::key(std::string_view name) {
  text(name);
  return *this;
}
Writer& Writer::end_object() {
  text({});
  marker(Marker::kObjectEnd);
  return *this;
}

}  // namespace weir::amf0
