// StaticFiles: regular files below one directory, for requests that name one (http.static_files).
// Owner: the worker. The directory stays open for the worker's life; a reload opens it anew.
//
// No path leads out of the directory: openat2() resolves beneath it, so that symbolic links work as
// long as they stay inside. A kernel without openat2 follows no symbolic link at all.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/fd.h"

namespace weir::http {

struct StaticFile {
  enum class Kind : std::uint8_t {
    kNone,       // there is no such file
    kFile,       // `fd` is open
    kDirectory,  // it has an index.html, and the path lacks its slash
  };
  Kind kind = Kind::kNone;
  UniqueFd fd;
  std::string name;  // below the root, with index.html if that was added
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
};

class StaticFiles {
 public:
  enum class Resolve : std::uint8_t { kKernel, kSteps };  // kSteps: as without openat2
  // An empty directory, or one that cannot be opened (which is logged), serves nothing.
  explicit StaticFiles(const std::string& directory, Resolve resolve = Resolve::kKernel);

  bool enabled() const { return static_cast<bool>(root_); }
  // `path`: what normalise_path() made of the request's path.
  StaticFile open(const std::string& path) const;

 private:
  UniqueFd open_beneath(const std::string& path) const;
  UniqueFd open_by_steps(const std::string& path) const;

  UniqueFd root_;
  Resolve resolve_;
};

}  // namespace weir::http
