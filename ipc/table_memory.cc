#include "ipc/table_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

namespace weir::ipc {
namespace {

constexpr std::uint64_t kStorageStep = 64;  // rows that get storage at once

}  // namespace

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

Result<TableMemory> TableMemory::make(const char* name, std::uint64_t size) {
  auto fd = make_memfd(name, size);
  if (!fd) return tl::unexpected(fd.error());
  const int memory = fd->get();
  auto made = make_on(std::move(*fd), size);
  if (!made) return made;
  constexpr int kSeals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  if (::fcntl(memory, F_ADD_SEALS, kSeals) != 0) {
    return fail_errno("cannot seal shared memory", errno);
  }
  made->file_.reset();
  return made;
}

Result<TableMemory> TableMemory::make_in_file(UniqueFd file, std::uint64_t size,
                                              std::uint64_t first) {
  if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0) {
    return fail_errno("cannot size the file", errno);
  }
  if (const int error = ::posix_fallocate(file.get(), 0, static_cast<off_t>(first)); error != 0) {
    return fail_errno("no room for the file", error);
  }
  return make_on(std::move(file), size);
}

Result<TableMemory> TableMemory::make_on(UniqueFd fd, std::uint64_t size) {
  TableMemory memory;
  auto mapping = Mapping::map(fd.get(), 0, size, Mapping::Access::kWrite);
  if (!mapping) return tl::unexpected(mapping.error());
  if (::madvise(mapping->data(), size, MADV_DONTFORK) != 0) {
    return fail_errno("cannot keep shared memory from children", errno);
  }
  const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
  memory.reader_fd_.reset(::open(self.c_str(), O_RDONLY | O_CLOEXEC));
  if (!memory.reader_fd_) return fail_errno("cannot open shared memory for reading", errno);
  memory.mapping_ = std::move(*mapping);
  memory.file_ = std::move(fd);
  return memory;
}

RowStorage TableMemory::rows(std::uint64_t offset, std::size_t row_bytes,
                             std::uint64_t rows) const {
  return file_ ? RowStorage(file_.get(), offset, row_bytes, rows) : RowStorage();
}

}  // namespace weir::ipc
