// TableMemory: the memory of a table that the master alone writes and all others read: the state
// segment, the session table. A memfd, which is sealed, so that nobody else can ever map it for
// writing; or a file (ipc/kept_file.h), which takes no seals, but its mode and the descriptor that
// others get are for that. The mapping that can be written through is not inherited by a fork.
// Owner: the writer of the table.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "ipc/mapping.h"

namespace weir::ipc {

// Tables begin at page borders.
constexpr std::uint64_t round_up_to_page(std::uint64_t bytes) {
  constexpr std::uint64_t kPage = 4096;
  return (bytes + kPage - 1) / kPage * kPage;
}

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

class TableMemory {
 public:
  TableMemory() = default;  // none: only to be assigned to
  static Result<TableMemory> make(const char* name, std::uint64_t size);
  // In an empty file, of which the `first` bytes have storage then, and the others get it by
  // rows().
  static Result<TableMemory> make_in_file(UniqueFd file, std::uint64_t size, std::uint64_t first);

  // Zeros at first.
  std::uint8_t* data() const { return static_cast<std::uint8_t*>(mapping_.data()); }
  // For others: nothing can be written through it, and it holds no lock of the file.
  int reader_fd() const { return reader_fd_.get(); }
  RowStorage rows(std::uint64_t offset, std::size_t row_bytes, std::uint64_t rows) const;

 private:
  static Result<TableMemory> make_on(UniqueFd fd, std::uint64_t size);

  Mapping mapping_;
  UniqueFd reader_fd_;
  UniqueFd file_;  // invalid: a memfd
};

}  // namespace weir::ipc
