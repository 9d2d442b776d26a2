#include "ipc/counter_pages.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <utility>

namespace weir::ipc {

Result<CounterPages> CounterPages::make(std::uint32_t capacity) {
  CounterPages pages;
  const std::size_t bytes = std::size_t{capacity} * kCounterPageBytes;
  auto writable = Mapping::reserve(bytes);
  auto readable = Mapping::reserve(bytes);
  if (!writable) return tl::unexpected(writable.error());
  if (!readable) return tl::unexpected(readable.error());
  pages.writable_ = std::move(*writable);
  pages.readable_ = std::move(*readable);
  return pages;
}

Result<void> CounterPages::grow(std::uint32_t count) {
  if (count > writable_.size() / kCounterPageBytes) return fail("too many counter pages");
  for (; count_ < count; ++count_) {
    if (auto added = add_page(count_); !added) return added;
  }
  return {};
}

Result<void> CounterPages::add_page(std::uint32_t slot) {
  const std::size_t at = std::size_t{slot} * kCounterPageBytes;
  auto fd = make_memfd("weir-counters", kCounterPageBytes);
  if (!fd) return tl::unexpected(fd.error());
  if (auto placed = writable_.place(at, fd->get(), kCounterPageBytes, Mapping::Access::kWrite);
      !placed) {
    return placed;
  }
  if (::madvise(page(slot), kCounterPageBytes, MADV_DONTFORK) != 0) {
    return fail_errno("cannot keep a counter page from children", errno);
  }
  // Before the mapping for reading, which could else be made writable by mprotect().
  constexpr int kSeals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  if (::fcntl(fd->get(), F_ADD_SEALS, kSeals) != 0) {
    return fail_errno("cannot seal a counter page", errno);
  }
  return readable_.place(at, fd->get(), kCounterPageBytes, Mapping::Access::kRead);
}

CounterCell* CounterPages::page(std::uint32_t slot) const {
  return static_cast<CounterCell*>(writable_.data()) + std::size_t{slot} * kCountersPerPage;
}

CounterPages::Loan::Loan(CounterPages& pages, std::uint32_t slot)
    : page_(pages.page(slot)), ok_(::madvise(page_, kCounterPageBytes, MADV_DOFORK) == 0) {}

CounterPages::Loan::~Loan() {
  ::madvise(page_, kCounterPageBytes, MADV_DONTFORK);
}

}  // namespace weir::ipc
