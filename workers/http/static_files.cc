#include "workers/http/static_files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/log.h"

namespace weir::http {
namespace {

constexpr std::int64_t kNanos = 1'000'000'000;
// A FIFO or a device must not stop the worker before it is known for what it is.
constexpr int kOpenFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

}  // namespace

StaticFiles::StaticFiles(const std::string& directory, Resolve resolve) : resolve_(resolve) {
  if (directory.empty()) return;
  root_.reset(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (root_) return;
  LogLine(LogLevel::kError, "cannot open http.static_files, no file is served")
      .field("directory", directory)
      .field("error", std::strerror(errno));
}

UniqueFd StaticFiles::open_beneath(const std::string& path) const {
  if (resolve_ == Resolve::kSteps) return open_by_steps(path);
  open_how how{};
  how.flags = static_cast<std::uint64_t>(kOpenFlags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const char* name = path.empty() ? "." : path.c_str();
  const long fd = ::syscall(SYS_openat2, root_.get(), name, &how, sizeof how);
  if (fd >= 0) return UniqueFd(static_cast<int>(fd));
  // EPERM: sandboxes that do not know the call refuse it so.
  if (errno == ENOSYS || errno == EPERM) return open_by_steps(path);
  return {};
}

UniqueFd StaticFiles::open_by_steps(const std::string& path) const {
  UniqueFd at(::openat(root_.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  std::size_t from = 0;
  while (at && from < path.size()) {
    const std::size_t slash = path.find('/', from);
    const std::string step = path.substr(from, slash - from);
    if (step == "..") return {};
    const bool last = slash == std::string::npos;
    const int flags = last ? kOpenFlags : O_PATH | O_DIRECTORY | O_CLOEXEC;
    at = UniqueFd(::openat(at.get(), step.c_str(), flags | O_NOFOLLOW));
    if (last) return at;
    from = slash + 1;
  }
  return at;  // a directory
}

StaticFile StaticFiles::open(const std::string& path) const {
  StaticFile found;
  UniqueFd fd = open_beneath(path);
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) return found;
  found.name = path;
  if (S_ISDIR(info.st_mode)) {
    const bool has_slash = path.empty() || path.back() == '/';
    found.name += has_slash ? "index.html" : "/index.html";
    fd = open_beneath(found.name);
    if (!fd || ::fstat(fd.get(), &info) != 0) return found;
    if (!has_slash && S_ISREG(info.st_mode)) {
      found.kind = StaticFile::Kind::kDirectory;
      found.name = path;
      return found;
    }
  }
  if (!S_ISREG(info.st_mode)) return found;
  found.kind = StaticFile::Kind::kFile;
  found.fd = std::move(fd);
  found.size = static_cast<std::uint64_t>(info.st_size);
  found.mtime_ns = info.st_mtim.tv_sec * kNanos + info.st_mtim.tv_nsec;
  return found;
}

}  // namespace weir::http
