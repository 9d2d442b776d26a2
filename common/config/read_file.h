// Whole files for the configuration: its own text, certificates, authorities. Owner: whoever loads
// a configuration.
#pragma once

#include <cstddef>
#include <string>

#include "common/base/result.h"

namespace weir::config {

// A regular file of at most `limit` bytes: anything else (a FIFO, a device) might never end. Errors
// do not name the path. Of a private key no copy is left behind in freed memory.
Result<std::string> read_file(const std::string& path, std::size_t limit);

}  // namespace weir::config
