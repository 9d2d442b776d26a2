// Commands: what operators want of the master, and who waits to hear what has become of it. The
// commands themselves are carried out by the master, the same ones that signals give. Owner: the
// master's loop.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "ipc/command_messages.h"
#include "supervisor/worker_pool.h"

namespace weir {

class Commands {
 public:
  explicit Commands(WorkerPool& pool) : pool_(pool) {}

  // The worker and its number of a request.
  struct Asker {
    std::uint32_t page = 0;
    std::uint32_t request = 0;
  };
  void answer(Asker asker, bool done, std::string_view text);

  // A reload that is asked for while one is under way is another one.
  void wait_for_reload(Asker asker) { next_reload_.push_back(asker); }
  void reload_begins();
  void reload_ended(bool done, std::string_view text) { answer_all(reload_, done, text); }

  void wait_for_upgrade(Asker asker) { upgrade_.push_back(asker); }
  void upgrade_ended(bool done, std::string_view text) { answer_all(upgrade_, done, text); }

 private:
  void answer_all(std::vector<Asker>& askers, bool done, std::string_view text);

  WorkerPool& pool_;
  std::vector<Asker> next_reload_;
  std::vector<Asker> reload_;
  std::vector<Asker> upgrade_;
};

}  // namespace weir
