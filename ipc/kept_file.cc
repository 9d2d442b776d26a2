#include "ipc/kept_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace weir::ipc {
namespace {

constexpr std::uint64_t kStorageStep = 64;  // rows that get storage at once

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

Result<UniqueFd> open_for_reading(int fd) {
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  UniqueFd reader(::open(self.c_str(), O_RDONLY | O_CLOEXEC));
  if (!reader) return fail_errno("cannot open shared memory for reading", errno);
  return reader;
}

bool RowStorage::has(std::uint64_t row) {
  if (fd_ < 0 || row < backed_) return true;
  const std::uint64_t end = std::min(rows_, row - row % kStorageStep + kStorageStep);
  const std::uint64_t from = offset_ + row_bytes_ * backed_;
  const std::uint64_t to = offset_ + row_bytes_ * end;
  if (::posix_fallocate(fd_, static_cast<off_t>(from), static_cast<off_t>(to - from)) != 0) {
    return false;
  }
  backed_ = end;
  return true;
}

Result<void> size_file(int fd, std::uint64_t size, std::uint64_t first) {
  if (::ftruncate(fd, static_cast<off_t>(size)) != 0) {
    return fail_errno("cannot size the file", errno);
  }
  if (const int error = ::posix_fallocate(fd, 0, static_cast<off_t>(first)); error != 0) {
    return fail_errno("no room for the file", error);
  }
  return {};
}

}  // namespace weir::ipc
