// What an origin's API says of one stream that is published there, and what its readers share.
// Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::origin_api {

// A text of bounded length. What does not fit is dropped, and is_cut() says so.
template <std::size_t kMax>
class BoundedText {
 public:
  void clear() {
    size_ = 0;
    cut_ = false;
  }
  void append(std::string_view text) {
    const std::size_t fits = std::min(text.size(), kMax - size_);
    std::copy_n(text.data(), fits, bytes_.data() + size_);
    size_ += fits;
    if (fits < text.size()) cut_ = true;
  }
  void assign(std::string_view text) {
    clear();
    append(text);
  }
  std::string_view text() const { return {bytes_.data(), size_}; }
  bool is_cut() const { return cut_; }

 private:
  std::size_t size_ = 0;
  bool cut_ = false;
  std::array<char, kMax> bytes_;
};

// Longer than any part of a stream key; what is longer makes none.
using NameText = BoundedText<512>;
using CodecText = BoundedText<16>;

// Views live until the reader that made them is asked again. Names are unescaped.
struct StreamRow {
  std::string_view vhost;  // empty: the default one, or the origin has no vhosts
  std::string_view app;
  std::string_view name;
  std::string_view video;  // `H264` as the origin writes it; empty: none, or not known
  std::string_view audio;
  std::uint64_t bits_per_second = 0;  // from the publisher; 0: not known yet
};

// What a reader found in the bytes that it was given.
enum class RowStep : std::uint8_t {
  kRow,       // row() is one; ask again with the rest
  kNeedMore,  // all of the bytes were taken
  kInvalid,   // error() says why; don't ask again
};

}  // namespace weir::origin_api
