#include "supervisor/state_store.h"

#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "ipc/boot_id.h"
#include "ipc/saved_state.h"

namespace weir {
namespace {

constexpr const char* kSuffix = ".state";

// What an earlier master left at the file's path.
std::optional<ipc::StateView> read_saved(const ipc::KeptFile& file, const Config& config) {
  const auto refuse = [&](std::string_view why) {
    LogLine(LogLevel::kWarn,
            "streams and registered origins of an earlier run are not taken up, they come back "
            "with heartbeats, publishers and what origins show")
        .field("file", file.path())
        .field("reason", why);
    return std::nullopt;
  };
  auto old = file.open_old();
  if (!old) return refuse(old.error().text);
  if (!*old) return std::nullopt;
  auto view = ipc::StateView::map(old->get());
  if (!view) return refuse(view.error().text);
  const auto good = ipc::check_saved(*view, ipc::read_boot_id(), monotonic_ms(),
                                     static_cast<std::uint64_t>(config.balance.origin_forget));
  if (!good) return refuse(good.error().text);
  return std::move(*view);
}

}  // namespace

Result<StateStore> open_state_store(const Config& config, bool upgrade,
                                    const ipc::FlowFile* sessions) {
  const ipc::StateWriter::Sizes sizes{static_cast<std::uint32_t>(config.max_origins),
                                      static_cast<std::uint32_t>(config.max_streams),
                                      static_cast<std::uint32_t>(config.max_workers)};
  std::optional<ipc::StateView> saved;
  const auto in_memory = [&](std::string_view why) -> Result<StateStore> {
    if (!why.empty()) {
      LogLine(LogLevel::kWarn, "streams and registered origins are forgotten with the service")
          .field("reason", why);
    }
    auto table = ipc::StateWriter::make(sizes);
    if (!table) return tl::unexpected(table.error());
    return StateStore{std::move(*table), std::nullopt, std::move(saved)};
  };
  if (sessions == nullptr) return in_memory("");
  ipc::KeptFile file(sessions->path() + kSuffix);
  if (!upgrade) {
    if (auto view = read_saved(file, config)) saved.emplace(std::move(*view));
  }
  auto fd = file.create();
  if (!fd) return in_memory(fd.error().text);
  auto table = ipc::StateWriter::make_in_file(sizes, std::move(*fd));
  if (!table) return in_memory(table.error().text);
  return StateStore{std::move(*table), std::move(file), std::move(saved)};
}

void publish_state(std::optional<ipc::KeptFile>& file, const FlowService& sessions) {
  if (!file || sessions.predecessor_fd() >= 0) return;
  if (sessions.lock_fd() < 0) return file.reset();  // nobody keeps others away
  if (auto published = file->publish(); !published) {
    LogLine(LogLevel::kError, "streams and registered origins will not outlive the service")
        .field("error", published.error().text);
  }
  file.reset();
}

}  // namespace weir
