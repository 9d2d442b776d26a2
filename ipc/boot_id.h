// The kernel's id of this boot, as text; empty where /proc does not tell. CLOCK_MONOTONIC readings
// of two processes compare only within one boot.
#pragma once

#include <string>

namespace weir::ipc {

std::string read_boot_id();

}  // namespace weir::ipc
