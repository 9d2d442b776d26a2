// CounterPages: the counter pages of all workers (docs/SHM.md). Each is a memfd of its own, of one
// page, and nobody can write it but the master and the process that it was lent to in its fork:
//
//   - it is sealed against any later writable mapping, so only the master's first one is left;
//   - that mapping is not inherited, but for the one page that is lent while the master forks;
//   - it cannot grow, so stretching the mapping (mremap) reaches nobody else's page.
//
// All processes read all pages by read-only mappings that they inherit, side by side in the order
// of the slots. No descriptor stays open. Each page makes a fork a microsecond longer, so there are
// no more than are needed. Owner: StateWriter, in the master.
#pragma once

#include <atomic>
#include <cstdint>

#include "common/base/result.h"
#include "ipc/mapping.h"
#include "ipc/shm_layout.h"

namespace weir::ipc {

using CounterCell = std::atomic<std::uint64_t>;

// Where a process finds the pages of `count` slots; valid for its life, like what is mapped there.
struct CounterArea {
  const CounterCell* cells = nullptr;
  std::uint32_t count = 0;
};

class CounterPages {
 public:
  // Lends a page to the child that is forked in its lifetime.
  class Loan {
   public:
    Loan(CounterPages& pages, std::uint32_t slot);
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    ~Loan();
    bool ok() const { return ok_; }

   private:
    void* page_;
    bool ok_;
  };

  CounterPages() = default;
  static Result<CounterPages> make(std::uint32_t capacity);

  // Makes the pages of slots below `count`. Children that were forked before do not see new ones.
  Result<void> grow(std::uint32_t count);

  // The page of a slot below all().count for writing: in the master, and in the child that it was
  // lent to.
  CounterCell* page(std::uint32_t slot) const;
  CounterArea all() const { return {static_cast<const CounterCell*>(readable_.data()), count_}; }

 private:
  Result<void> add_page(std::uint32_t slot);

  Mapping writable_;
  Mapping readable_;
  std::uint32_t count_ = 0;
};

}  // namespace weir::ipc
