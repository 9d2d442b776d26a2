// Result<T>: a value, or an Error that a person can act on. Used off the data plane (start-up,
// configuration, IPC set-up); parsers on the data plane use ParseStatus (common/base/bytes.h).
// No exceptions cross a function of this project.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace weir {

struct Error {
  std::string text;   // what failed and why, without a trailing full stop
  int sys_errno = 0;  // errno of the failed call, 0 when there was none
};

template <typename T>
using Result = tl::expected<T, Error>;

// Makes the error side of a Result: `return fail("no such user: " + name);`
inline tl::unexpected<Error> fail(std::string text) {
  return tl::unexpected<Error>(Error{std::move(text), 0});
}

// The same with strerror(err) appended. REQUIRES: err is an errno value.
tl::unexpected<Error> fail_errno(std::string_view what, int err);

}  // namespace weir
