#include "common/base/result.h"

#include <cstring>

namespace weir {

tl::unexpected<Error> fail_errno(std::string_view what, int err) {
  std::string text(what);
  text += ": ";
  text += std::strerror(err);
  return tl::unexpected<Error>(Error{std::move(text), err});
}

}  // namespace weir
