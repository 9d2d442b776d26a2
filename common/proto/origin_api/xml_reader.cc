#include "common/proto/origin_api/xml_reader.h"

#include <bit>
#include <charconv>

#include "common/base/utf8.h"
#include "common/proto/origin_api/scan.h"

namespace weir::origin_api {
namespace {

constexpr std::string_view kNotXml = "not XML";
constexpr std::uint32_t kReplacement = 0xFFFD;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_space(std::uint8_t byte) {
  return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}
constexpr std::array<bool, 256> kNameBytes = [] {
  std::array<bool, 256> set{};
  constexpr std::string_view kAscii =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:";
  for (const char c : kAscii) set[static_cast<unsigned char>(c)] = true;
  for (std::size_t byte = 0x80; byte < set.size(); ++byte) set[byte] = true;
  return set;
}();
bool is_name(std::uint8_t byte) {
  return kNameBytes[byte];
}

std::string_view between(const std::uint8_t* begin, const std::uint8_t* end) {
  return as_text({begin, static_cast<std::size_t>(end - begin)});
}

}  // namespace

XmlToken XmlReader::fail(std::string_view why) {
  error_ = why;
  return XmlToken::kInvalid;
}

XmlToken XmlReader::next(ByteView& in, bool want_text) {
  Cursor cursor{in.data(), in.data() + in.size()};
  XmlToken token = XmlToken::kNeedMore;
  if (state_ == State::kEmptyClose) {
    token = close();
  } else {
    while (token == XmlToken::kNeedMore && cursor.at != cursor.end) token = step(cursor, want_text);
  }
  in = {cursor.at, static_cast<std::size_t>(cursor.end - cursor.at)};
  return token;
}

XmlToken XmlReader::step(Cursor& in, bool want_text) {
  switch (state_) {
    case State::kText:
      return take_text(in, want_text);
    case State::kEntity:
      return take_entity(in, want_text);
    case State::kMarkup:
      return take_markup(in);
    case State::kOpenName:
    case State::kCloseName:
      return take_name(in);
    case State::kAttributes:
    case State::kQuoted:
    case State::kEmptyEnd:
    case State::kCloseEnd:
      return take_attributes(in);
    case State::kBang:
      return take_bang(in);
    case State::kComment:
    case State::kCdata:
    case State::kInstruction:
      return take_section(in, want_text);
    case State::kEmptyClose:
      break;
  }
  return XmlToken::kNeedMore;
}

XmlToken XmlReader::take_text(Cursor& in, bool want_text) {
  if (depth_ == 0) {
    const std::uint8_t byte = *in.at++;
    if (byte == '<') {
      state_ = State::kMarkup;
      return XmlToken::kNeedMore;
    }
    const bool is_mark = kByteOrderMark.find(static_cast<char>(byte)) != std::string_view::npos;
    return is_space(byte) || (is_mark && !has_root_) ? XmlToken::kNeedMore : fail(kNotXml);
  }
  const std::uint8_t* begin = in.at;
  const std::uint8_t* end = find_either(begin, in.end, '<', want_text ? '&' : '<');
  in.at = end;
  if (end != in.end) {
    ++in.at;
    state_ = *end == '&' ? State::kEntity : State::kMarkup;
    entity_.clear();
  }
  if (!want_text || begin == end) return XmlToken::kNeedMore;
  text_ = between(begin, end);
  return XmlToken::kText;
}

// A `&` that begins no reference, as some servers write it, is one itself, and so is what follows.
XmlToken XmlReader::take_entity(Cursor& in, bool want_text) {
  const std::uint8_t byte = *in.at;
  const bool goes_on = is_name(byte) || byte == '#';
  if (goes_on && !entity_.is_cut()) {
    entity_.append(between(in.at, in.at + 1));
    if (!entity_.is_cut()) {
      ++in.at;
      return XmlToken::kNeedMore;
    }
  }
  state_ = State::kText;
  if (byte == ';' && !entity_.is_cut()) {
    const std::string_view meaning = entity_text();
    if (!meaning.empty()) {
      ++in.at;
      text_ = meaning;
      return want_text ? XmlToken::kText : XmlToken::kNeedMore;
    }
  }
  buffer_.assign("&");
  buffer_.append(entity_.text());
  text_ = buffer_.text();
  return want_text ? XmlToken::kText : XmlToken::kNeedMore;
}

// What the reference stands for; empty: it is none.
std::string_view XmlReader::entity_text() {
  const std::string_view name = entity_.text();
  if (name == "lt") return "<";
  if (name == "gt") return ">";
  if (name == "amp") return "&";
  if (name == "quot") return "\"";
  if (name == "apos") return "'";
  if (!name.starts_with('#')) return {};
  const bool is_hex = name.size() > 1 && name[1] == 'x';
  const std::string_view digits = name.substr(is_hex ? 2 : 1);
  std::uint32_t code = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), code, is_hex ? 16 : 10);
  if (end != digits.data() + digits.size() || digits.empty()) return {};
  const bool is_character =
      error == std::errc{} && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
  return write_utf8(is_character ? code : kReplacement, decoded_);
}

XmlToken XmlReader::take_markup(Cursor& in) {
  const std::uint8_t byte = *in.at;
  buffer_.clear();
  mark_ = 0;
  matched_ = 0;
  if (byte == '/') {
    ++in.at;
    state_ = State::kCloseName;
    return XmlToken::kNeedMore;
  }
  if (byte == '!' || byte == '?') {
    ++in.at;
    state_ = byte == '!' ? State::kBang : State::kInstruction;
    return XmlToken::kNeedMore;
  }
  if (!is_name(byte) || (depth_ == 0 && has_root_)) return fail(kNotXml);
  state_ = State::kOpenName;
  return take_name(in);
}

XmlToken XmlReader::take_name(Cursor& in) {
  const std::uint8_t* begin = in.at;
  const std::uint8_t* at = begin;
  std::uint64_t mark = mark_;
  for (; at != in.end && is_name(*at); ++at) mark = std::rotl(mark, 7) ^ *at;
  mark_ = mark;
  in.at = at;
  name_ = between(begin, at);
  if (at == in.end || !buffer_.text().empty()) {  // it comes in pieces
    buffer_.append(name_);
    name_ = buffer_.text();
  }
  if (name_.size() > kNameMax || buffer_.is_cut())
    return fail("the name of an element is too long");
  if (in.at == in.end) return XmlToken::kNeedMore;
  state_ = state_ == State::kOpenName ? State::kAttributes : State::kCloseEnd;
  if (*in.at == '>') {
    ++in.at;
    return state_ == State::kCloseEnd ? close() : open();
  }
  // Attributes may come in pieces, too.
  if (buffer_.text().empty()) buffer_.assign(name_);
  name_ = buffer_.text();
  return take_attributes(in);
}

XmlToken XmlReader::take_attributes(Cursor& in) {
  while (in.at != in.end) {
    const std::uint8_t byte = *in.at++;
    if (state_ == State::kQuoted) {
      if (byte == quote_) state_ = State::kAttributes;
    } else if (state_ == State::kEmptyEnd) {
      return byte == '>' ? open_empty() : fail(kNotXml);
    } else if (byte == '>') {
      return state_ == State::kCloseEnd ? close() : open();
    } else if (state_ == State::kCloseEnd) {
      if (!is_space(byte)) return fail(kNotXml);
    } else if (byte == '/') {
      state_ = State::kEmptyEnd;
    } else if (byte == '"' || byte == '\'') {
      state_ = State::kQuoted;
      quote_ = byte;
    } else if (byte == '<' || (!is_space(byte) && !is_name(byte) && byte != '=')) {
      return fail(kNotXml);
    }
  }
  return XmlToken::kNeedMore;
}

XmlToken XmlReader::open_empty() {
  const XmlToken token = open();
  if (token == XmlToken::kOpen) state_ = State::kEmptyClose;
  return token;
}

XmlToken XmlReader::open() {
  if (depth_ == kDepthMax) return fail("nested too deeply");
  state_ = State::kText;
  has_root_ = true;
  open_[depth_++] = mark_;
  return XmlToken::kOpen;
}

XmlToken XmlReader::close() {
  if (depth_ == 0 || open_[depth_ - 1] != mark_) return fail(kNotXml);
  state_ = State::kText;
  --depth_;
  return XmlToken::kClose;
}

XmlToken XmlReader::take_bang(Cursor& in) {
  buffer_.append(between(in.at, in.at + 1));
  ++in.at;
  constexpr std::string_view kComment = "--";
  constexpr std::string_view kCdata = "[CDATA[";
  const std::string_view begun = buffer_.text();
  if (begun == kComment || (begun == kCdata && depth_ > 0)) {
    state_ = begun == kComment ? State::kComment : State::kCdata;
    matched_ = 0;
  } else if (!kComment.starts_with(begun) && !kCdata.starts_with(begun)) {
    return fail("a document type");
  }
  return XmlToken::kNeedMore;
}

// Looks for `-->`, `]]>` or `?>`; `--->` and `]]]>` end one too. Of a section with text each byte
// that may begin its end is told late.
XmlToken XmlReader::take_section(Cursor& in, bool want_text) {
  const std::string_view end = state_ == State::kComment ? "-->"
                               : state_ == State::kCdata ? "]]>"
                                                         : "?>";
  const bool tell = want_text && state_ == State::kCdata;
  const auto first = static_cast<std::uint8_t>(end[0]);
  if (matched_ == 0) {
    const std::uint8_t* begin = in.at;
    in.at = find_either(begin, in.end, first, first);
    text_ = between(begin, in.at);
    if (in.at != in.end) {
      ++in.at;
      matched_ = 1;
    }
    return tell && !text_.empty() ? XmlToken::kText : XmlToken::kNeedMore;
  }
  const std::uint8_t byte = *in.at;
  if (byte == static_cast<std::uint8_t>(end[matched_])) {
    ++in.at;
    if (++matched_ < end.size()) return XmlToken::kNeedMore;
    matched_ = 0;
    state_ = State::kText;
    return XmlToken::kNeedMore;
  }
  // Not the end: what looked like it is text, but for the part that may still begin it.
  if (byte == first && matched_ == end.size() - 1) {
    ++in.at;
    text_ = end.substr(0, 1);
  } else {
    text_ = end.substr(0, matched_);
    matched_ = 0;
  }
  return tell ? XmlToken::kText : XmlToken::kNeedMore;
}

}  // namespace weir::origin_api
