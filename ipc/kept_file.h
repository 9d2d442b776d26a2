// Shared memory in files, so that it outlives its master: the session table and the state segment.
// A new master reads what stands at the path, makes a file of its own beside it and gives that the
// path. So no two masters ever write one file; that only one does this at a time is the session
// file's lock (ipc/flow_file.h). What is read is untrusted input. Owner: the master.
#pragma once

#include <cstddef>
#include <cstdint>
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

// A descriptor of the same file through which nothing can be written, and which holds no lock.
Result<UniqueFd> open_for_reading(int fd);

// The rows of a table in a file get their storage in steps, before they are written to: a full file
// system is an answer here, not a SIGBUS. Without a file all is there.
class RowStorage {
 public:
  RowStorage() = default;
  // `fd`, not owned, must outlive this. The rows begin at `offset`.
  RowStorage(int fd, std::uint64_t offset, std::size_t row_bytes, std::uint64_t rows)
      : fd_(fd), offset_(offset), row_bytes_(row_bytes), rows_(rows) {}

  // False: there is no room for the row, or one before it.
  bool has(std::uint64_t row);

 private:
  int fd_ = -1;
  std::uint64_t offset_ = 0;
  std::size_t row_bytes_ = 0;
  std::uint64_t rows_ = 0;
  std::uint64_t backed_ = 0;  // rows below it have storage
};

// Storage for the first bytes of a file of `size` bytes, of which the others follow by RowStorage.
Result<void> size_file(int fd, std::uint64_t size, std::uint64_t first);

}  // namespace weir::ipc
