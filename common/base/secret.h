// Comparison of secrets: tokens and keys that a peer must not find out byte by byte. Pure.
#pragma once

#include <string_view>

namespace weir {

// Takes the same time wherever the texts differ; their lengths are no secret.
bool equal_secrets(std::string_view a, std::string_view b);

}  // namespace weir
