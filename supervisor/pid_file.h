// PidFile: the file that holds the master's pid. A lock on it, which dies with the master, tells a
// live one from a file that was left behind. Owner: the master; workers close their copy.
#pragma once

#include <sys/types.h>

#include <string>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace weir {

class PidFile {
 public:
  PidFile() = default;
  PidFile(PidFile&&) noexcept = default;
  PidFile& operator=(PidFile&&) noexcept = default;
  ~PidFile() = default;

  // Fails when a live master holds it; sys_errno is then EWOULDBLOCK.
  static Result<PidFile> create(const std::string& path);
  // Unlinks it, unless another process has put its own in place since.
  void remove();
  // Moves it to another name, for an upgrade; keeps the lock.
  Result<void> rename(const std::string& to);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  UniqueFd fd_;
};

// The pid in a file, if a live master holds it.
Result<pid_t> read_pid_file(const std::string& path);

}  // namespace weir
