#include "ipc/kept_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace weir::ipc {
namespace {

// A regular file that this user alone can have written.
Result<void> check_owner(int fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return fail_errno("cannot stat " + path, errno);
  if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 077) != 0 ||
      info.st_nlink != 1) {
    return fail(path + " is not a private file of this user");
  }
  return {};
}

}  // namespace

Result<UniqueFd> KeptFile::open_old() const {
  UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd && errno == ENOENT) return fd;
  if (!fd) return fail_errno("cannot open " + path_, errno);
  if (auto checked = check_owner(fd.get(), path_); !checked) {
    return tl::unexpected(checked.error());
  }
  return fd;
}

Result<UniqueFd> KeptFile::create() {
  new_path_ = path_ + ".new";
  ::unlink(new_path_.c_str());  // of a master that died in between; we hold the lock
  UniqueFd fd(::open(new_path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail_errno("cannot create " + new_path_, errno);
  return fd;
}

Result<void> KeptFile::publish() {
  if (::rename(new_path_.c_str(), path_.c_str()) != 0) {
    return fail_errno("cannot rename " + new_path_, errno);
  }
  return {};
}

}  // namespace weir::ipc
