#include "ipc/mapping.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace weir::ipc {
namespace {

int protection(Mapping::Access access) {
  return access == Mapping::Access::kWrite ? PROT_READ | PROT_WRITE : PROT_READ;
}

}  // namespace

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

Result<Mapping> Mapping::map(int fd, std::uint64_t offset, std::size_t size, Access access) {
  void* data =
      ::mmap(nullptr, size, protection(access), MAP_SHARED, fd, static_cast<off_t>(offset));
  if (data == MAP_FAILED) return fail_errno("cannot map shared memory", errno);
  Mapping mapping;
  mapping.data_ = data;
  mapping.size_ = size;
  return mapping;
}

Result<Mapping> Mapping::reserve(std::size_t size) {
  void* data = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return fail_errno("cannot reserve address space", errno);
  Mapping mapping;
  mapping.data_ = data;
  mapping.size_ = size;
  return mapping;
}

Result<void> Mapping::place(std::size_t at, int fd, std::size_t size, Access access) {
  void* const where = static_cast<std::uint8_t*>(data_) + at;
  if (::mmap(where, size, protection(access), MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    return fail_errno("cannot map shared memory", errno);
  }
  return {};
}

Result<std::uint64_t> file_size(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return fail_errno("cannot stat shared memory", errno);
  return static_cast<std::uint64_t>(info.st_size);
}

Result<UniqueFd> make_memfd(const char* name, std::uint64_t size) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail_errno(std::string("cannot create shared memory ") + name, errno);
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return fail_errno(std::string("cannot size shared memory ") + name, errno);
  }
  return fd;
}

}  // namespace weir::ipc
