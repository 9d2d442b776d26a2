#include "ipc/boot_id.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/fd.h"

namespace weir::ipc {

std::string read_boot_id() {
  const UniqueFd fd(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  char text[40] = {};
  const ssize_t n = fd ? ::read(fd.get(), text, sizeof text - 1) : -1;
  std::string id(text, n > 0 ? static_cast<std::size_t>(n) : 0);
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

}  // namespace weir::ipc
