// Where the session table lives: in the session file, or in memory alone. Decides by the options,
// reads what an earlier master left, and makes the new table. A file that cannot be had is no
// reason not to serve.
#pragma once

#include <optional>
#include <string>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/config/config.h"
#include "ipc/flow_file.h"
#include "ipc/flow_writer.h"

namespace weir {

struct FlowStore {
  ipc::FlowWriter table;
  std::optional<ipc::FlowFile> file;  // not published yet
  ipc::SavedFlows saved;              // empty in an upgrade: the old master sends them
};

// `upgrade`: this master replaces one that lives; `lock` is what it left over the exec, if
// anything.
Result<FlowStore> open_flow_store(const Config& config, bool upgrade, UniqueFd lock);

// The path that the option means; "" for none.
std::string session_path(const std::string& option, const char* runtime_directory, bool root);

}  // namespace weir
