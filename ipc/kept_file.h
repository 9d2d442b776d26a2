// Shared memory in files, so that it outlives its master: the session table and the state segment.
// A new master reads what stands at the path, makes a file of its own beside it and gives that the
// path. So no two masters ever write one file; that only one does this at a time is the session
// file's lock (ipc/flow_file.h). What is read is untrusted input. Owner: the master.
#pragma once

#include <string>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace weir::ipc {

class KeptFile {
 public:
  explicit KeptFile(std::string path) : path_(std::move(path)) {}

  // What a predecessor left; no descriptor and no error when there is no such file. Fails for one
  // that somebody else than this user may have written.
  Result<UniqueFd> open_old() const;
  // A new, empty file beside the path.
  Result<UniqueFd> create();
  // Gives the new file the path.
  Result<void> publish();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::string new_path_;
};

}  // namespace weir::ipc
