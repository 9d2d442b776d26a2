#include "common/base/secret.h"

#include <doctest/doctest.h>

#include <string_view>

TEST_CASE("secrets are equal byte for byte, or not at all") {
  using weir::equal_secrets;
  CHECK(equal_secrets("", ""));
  CHECK(equal_secrets("secret", "secret"));
  CHECK_FALSE(equal_secrets("secret", "secreT"));
  CHECK_FALSE(equal_secrets("secret", "secre"));
  CHECK_FALSE(equal_secrets("secret", ""));
  CHECK_FALSE(equal_secrets(std::string_view("a\0b", 3), std::string_view("a\0c", 3)));
}
