#include "common/config/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/fd.h"
#include "common/config/values.h"

namespace weir::config {

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  // O_NONBLOCK: the open of a FIFO must not wait.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return fail_errno("cannot open", errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail_errno("cannot read", errno);
  if (!S_ISREG(info.st_mode)) return fail("is not a regular file");
  std::string text(limit + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = ::read(fd.get(), text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("cannot read", errno);
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  if (size > limit) return fail("is larger than " + print_size(limit));
  text.resize(size);
  text.shrink_to_fit();
  return text;
}

}  // namespace weir::config
