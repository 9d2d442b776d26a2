#include "common/base/result.h"

#include <cerrno>
#include <system_error>

namespace weir {

tl::unexpected<Error> fail_errno(std::string_view what, int err) {
  std::string text(what);
  text += ": ";
  text += std::generic_category().message(err);
  return tl::unexpected<Error>(Error{std::move(text), err});
}

}  // namespace weir
