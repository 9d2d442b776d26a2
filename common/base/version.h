// The version of this build, as packaging/VERSION has it. A function, so that a new version costs
// one object and not all that mention it.
#pragma once

#include <string_view>

namespace weir {

std::string_view version();

}  // namespace weir
