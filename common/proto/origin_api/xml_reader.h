// XmlReader: the tokens of an XML document (XML 1.0) that comes in pieces of any size. Pure; no
// tree and no copy: some 400 bytes whatever the document is. How it was cut never matters. Elements
// must close in the order in which they were opened. Attributes, comments and processing
// instructions are passed over; a document type is refused, so there are no entities but the five
// and character references; what looks like another one stands for itself. Owner: one answer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/bytes.h"
#include "common/proto/origin_api/stream_row.h"

namespace weir::origin_api {

enum class XmlToken : std::uint8_t {
  kNeedMore,  // all of `in` was taken
  kInvalid,   // error() says why
  kOpen,      // name(); depth() counts it already; `<a/>` is opened and closed
  kClose,     // depth() counts it no more
  kText,      // text(): a piece of the text of the element; there may be many
};

class XmlReader {
 public:
  static constexpr std::size_t kDepthMax = 32;
  static constexpr std::size_t kNameMax = 64;

  // Takes bytes from the front of `in`. `want_text`: whether the current element's text is told.
  XmlToken next(ByteView& in, bool want_text);

  // Live until the next call and as long as the bytes given.
  std::string_view name() const { return name_; }
  std::string_view text() const { return text_; }
  std::size_t depth() const { return depth_; }
  // The whole document has been read; comments and white space may follow.
  bool complete() const { return has_root_ && depth_ == 0 && state_ == State::kText; }
  std::string_view error() const { return error_; }

 private:
  enum class State : std::uint8_t {
    kText,
    kEntity,  // after `&`
    kMarkup,  // after `<`
    kOpenName,
    kAttributes,  // up to `>`
    kQuoted,      // a value of one
    kEmptyEnd,    // after `/`
    kCloseName,
    kCloseEnd,    // white space before `>`
    kEmptyClose,  // of `<a/>`, which was told as opened
    kBang,        // after `<!`
    kComment,
    kCdata,
    kInstruction,
  };
  struct Cursor {
    const std::uint8_t* at;
    const std::uint8_t* end;
  };

  // kNeedMore: nothing to be told yet, go on.
  XmlToken step(Cursor& in, bool want_text);
  XmlToken take_text(Cursor& in, bool want_text);
  XmlToken take_entity(Cursor& in, bool want_text);
  XmlToken take_markup(Cursor& in);
  XmlToken take_name(Cursor& in);
  XmlToken take_attributes(Cursor& in);
  XmlToken take_bang(Cursor& in);
  XmlToken take_section(Cursor& in, bool want_text);
  XmlToken open();
  XmlToken open_empty();
  XmlToken close();
  XmlToken fail(std::string_view why);
  std::string_view entity_text();

  State state_ = State::kText;
  bool has_root_ = false;
  std::uint8_t quote_ = 0;
  std::uint8_t matched_ = 0;  // bytes of what ends a comment, a section or an instruction
  std::size_t depth_ = 0;
  // Marks of the names of open elements, and of the one that is read: hardly two names have one,
  // and no harm is done if they do.
  std::array<std::uint64_t, kDepthMax> open_ = {};
  std::uint64_t mark_ = 0;
  std::string_view name_;
  std::string_view text_;
  std::string_view error_;
  BoundedText<kNameMax> buffer_;  // of a name that came in pieces
  BoundedText<12> entity_;
  std::array<char, 4> decoded_ = {};
};

}  // namespace weir::origin_api
