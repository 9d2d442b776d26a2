#include "supervisor/flow_store.h"

#include <cerrno>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "ipc/boot_id.h"
#include "supervisor/runtime_path.h"

namespace weir {
namespace {

Result<ipc::FlowFile> lock_file(const std::string& path, UniqueFd lock) {
  if (lock) return ipc::FlowFile::inherit(path, std::move(lock));
  make_runtime_folder(path);
  return ipc::FlowFile::lock(path);
}

void tell_in_memory(const Config& config, std::string_view why) {
  LogLine(config.session_file == "off" ? LogLevel::kDebug : LogLevel::kInfo,
          "sessions, streams and registered origins are kept in memory and end with the service")
      .field("reason", why);
}

// What an earlier master left at the file's path.
ipc::SavedFlows read_saved(const ipc::FlowFile& file, const Config& config) {
  const auto refuse = [&](std::string_view why) {
    LogLine(LogLevel::kWarn, "sessions of an earlier run are not taken up")
        .field("file", file.path())
        .field("reason", why);
    return ipc::SavedFlows{};
  };
  auto old = file.open_old();
  if (!old) return refuse(old.error().text);
  if (!*old) return {};
  const auto size = ipc::file_size(old->get());
  if (!size) return refuse(size.error().text);
  if (*size == 0) return refuse("it is empty");
  const auto mapping = ipc::Mapping::map(old->get(), 0, *size, ipc::Mapping::Access::kRead);
  if (!mapping) return refuse(mapping.error().text);
  auto saved = ipc::read_flows({static_cast<const std::uint8_t*>(mapping->data()), *size},
                               ipc::read_boot_id(), monotonic_ms(), config.session_restore_timeout);
  if (!saved) return refuse(saved.error().text);
  return std::move(*saved);
}

}  // namespace

std::optional<ipc::FlowFile> lock_session_file(const Config& config, UniqueFd lock) {
  const std::string path = runtime_path(config.session_file, "sessions");
  const auto none = [&](std::string_view why) {
    tell_in_memory(config, why);
    return std::nullopt;
  };
  if (path.empty()) return none("no session_file");
  auto file = lock_file(path, std::move(lock));
  if (!file && file.error().sys_errno == EWOULDBLOCK) return none("another master uses " + path);
  if (!file) return none(file.error().text);
  return std::move(*file);
}

Result<FlowStore> open_flow_store(const Config& config, bool upgrade,
                                  std::optional<ipc::FlowFile> file) {
  const auto capacity = static_cast<std::uint32_t>(config.max_udp_sessions);
  ipc::SavedFlows saved;
  const auto in_memory = [&](std::string_view why) -> Result<FlowStore> {
    if (!why.empty()) tell_in_memory(config, why);
    auto table = ipc::FlowWriter::make(capacity);
    if (!table) return tl::unexpected(table.error());
    return FlowStore{std::move(*table), std::nullopt, std::move(saved)};
  };
  if (!file) return in_memory("");
  if (!upgrade) saved = read_saved(*file, config);
  auto fd = file->create();
  if (!fd) return in_memory(fd.error().text);
  auto table = ipc::FlowWriter::make_in_file(capacity, std::move(*fd));
  if (!table) return in_memory(table.error().text);
  return FlowStore{std::move(*table), std::move(file), std::move(saved)};
}

}  // namespace weir
