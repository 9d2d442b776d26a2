// SignalInbox: the master's signals, which come through a descriptor, so that no handler runs
// anywhere. Owner: the master's loop.
#pragma once

#include <array>
#include <utility>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace weir {

class SignalInbox {
 public:
  // Blocks them for this process and what it forks.
  Result<void> set_up();
  int fd() const { return fd_.get(); }  // readable when there are some
  void read();
  // Whether it has come since it was taken last.
  bool take(int number) { return std::exchange(pending_[static_cast<std::size_t>(number)], false); }
  bool has(int number) const { return pending_[static_cast<std::size_t>(number)]; }
  // As if it had come again.
  void put(int number) { pending_[static_cast<std::size_t>(number)] = true; }

 private:
  UniqueFd fd_;
  std::array<bool, 65> pending_{};
};

}  // namespace weir
