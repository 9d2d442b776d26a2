// Hashes of passwords for the users of the console, as crypt(3) makes them (yescrypt).
#pragma once

#include <string>

#include "common/base/result.h"

namespace weir::ctl {

// "$y$...": crypt(5). Takes some ten milliseconds, as it should.
Result<std::string> hash_password(const std::string& password);
// From the terminal without an echo, twice; or the first line of standard input, if that is none.
Result<std::string> read_password();

}  // namespace weir::ctl
