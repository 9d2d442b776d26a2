// Mapping: a shared memory mapping with one owner. Used by the views and the writer of the
// segments. Errors: Result with the system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace weir::ipc {

class Mapping {
 public:
  enum class Access : std::uint8_t { kRead, kWrite };

  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  // offset and size are whole pages. The descriptor stays the caller's.
  static Result<Mapping> map(int fd, std::uint64_t offset, std::size_t size, Access access);
  // Address space without access, to be filled by place().
  static Result<Mapping> reserve(std::size_t size);
  // Maps the beginning of a file into this range.
  Result<void> place(std::size_t at, int fd, std::size_t size, Access access);

  void* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

// Bytes of the file behind a descriptor.
Result<std::uint64_t> file_size(int fd);
// A memfd of this size that can be sealed.
Result<UniqueFd> make_memfd(const char* name, std::uint64_t size);

}  // namespace weir::ipc
