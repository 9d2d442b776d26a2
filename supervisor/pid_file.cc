#include "supervisor/pid_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>

namespace weir {
namespace {

pid_t read_pid(int fd) {
  char text[32] = {};
  const ssize_t n = ::pread(fd, text, sizeof text - 1, 0);
  pid_t pid = 0;
  if (n > 0) std::from_chars(text, text + n, pid);
  return pid;
}

bool same_file(int fd, const std::string& path) {
  struct stat mine {};
  struct stat there {};
  return ::fstat(fd, &mine) == 0 && ::stat(path.c_str(), &there) == 0 &&
         mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

}  // namespace

Result<PidFile> PidFile::create(const std::string& path) {
  PidFile file;
  file.path_ = path;
  // Whoever unlinks the file between our open and our lock leaves us with a nameless one: try
  // again.
  for (int attempt = 0; attempt < 10; ++attempt) {
    file.fd_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!file.fd_) return fail_errno("cannot open pid file " + path, errno);
    if (::flock(file.fd_.get(), LOCK_EX | LOCK_NB) != 0) {
      const int err = errno;
      if (err != EWOULDBLOCK) return fail_errno("cannot lock pid file " + path, err);
      return tl::unexpected<Error>(Error{"another Weir runs with pid " +
                                             std::to_string(read_pid(file.fd_.get())) + " (" +
                                             path + ")",
                                         err});
    }
    if (same_file(file.fd_.get(), path)) break;
  }
  const std::string text = std::to_string(::getpid()) + "\n";
  if (::ftruncate(file.fd_.get(), 0) != 0 ||
      ::pwrite(file.fd_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return fail_errno("cannot write pid file " + path, errno);
  }
  return file;
}

void PidFile::remove() {
  if (fd_ && same_file(fd_.get(), path_)) ::unlink(path_.c_str());
  fd_.reset();
}

Result<void> PidFile::rename(const std::string& to) {
  if (!fd_) return {};
  if (std::rename(path_.c_str(), to.c_str()) != 0) {
    return fail_errno("cannot rename pid file to " + to, errno);
  }
  path_ = to;
  return {};
}

Result<pid_t> read_pid_file(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno("cannot open pid file " + path, errno);
  if (::flock(fd.get(), LOCK_SH | LOCK_NB) == 0) {
    return fail("no Weir runs (pid file " + path + " is left over)");
  }
  const pid_t pid = read_pid(fd.get());
  if (pid <= 1) return fail("pid file " + path + " holds no pid");
  return pid;
}

}  // namespace weir
