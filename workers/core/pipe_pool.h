// Pipes for splice(2). A relay takes one for a move and gives it back when it is empty, so a worker
// needs few: one for each session whose receiver is blocked, and one for all others.
#pragma once

#include <cstddef>
#include <vector>

#include "common/base/fd.h"

namespace weir {

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
  explicit operator bool() const { return static_cast<bool>(read_end); }
};

class PipePool {
 public:
  // An empty pipe; false as a bool when the process has no descriptor left.
  Pipe take();
  // REQUIRES: the pipe is empty. One that isn't is closed by its destructor instead.
  void give_back(Pipe pipe);

 private:
  std::vector<Pipe> idle_;
};

}  // namespace weir
