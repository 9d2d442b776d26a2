#include "supervisor/commands.h"

#include <utility>

namespace weir {
namespace {

constexpr std::size_t kTextBytes = 16384;  // of one answer; a configuration may have many faults

}  // namespace

void Commands::answer(Asker asker, bool done, std::string_view text) {
  WorkerProcess* const to = pool_.find(asker.page);
  if (to == nullptr) return;  // it died, and its clients with it
  text = text.substr(0, kTextBytes);
  for (;;) {
    ipc::CommandNews news;
    news.header.request = asker.request;
    news.text.assign(text);
    text.remove_prefix(news.text.length);
    const auto last = done ? ipc::CommandResult::kDone : ipc::CommandResult::kFailed;
    news.result = text.empty() ? last : ipc::CommandResult::kMore;
    if (!pool_.send(*to, asker.page, news) || text.empty()) return;
  }
}

void Commands::reload_begins() {
  reload_.insert(reload_.end(), next_reload_.begin(), next_reload_.end());
  next_reload_.clear();
}

void Commands::answer_all(std::vector<Asker>& askers, bool done, std::string_view text) {
  for (const Asker& asker : std::exchange(askers, {})) answer(asker, done, text);
}

}  // namespace weir
