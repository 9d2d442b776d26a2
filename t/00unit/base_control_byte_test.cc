// Control bytes: every value at every place of a word and of the rest behind it.
#include "common/base/control_byte.h"

#include <doctest/doctest.h>

#include <string>

namespace weir {
namespace {

TEST_CASE("every control byte is found wherever it stands, and nothing else") {
  for (std::size_t size = 0; size <= 19; ++size) {
    CHECK_FALSE(has_control_byte(std::string(size, 'a')));
    for (std::size_t at = 0; at < size; ++at) {
      for (int value = 0; value < 256; ++value) {
        for (const char around : {'\t', ' ', '~', '\x80', '\xFF'}) {
          std::string text(size, around);
          text[at] = static_cast<char>(value);
          const bool control = (value < 0x20 && value != '\t') || value == 0x7F;
          if (has_control_byte(text) != control) FAIL(size << " " << at << " " << value);
        }
      }
    }
  }
}

}  // namespace
}  // namespace weir
