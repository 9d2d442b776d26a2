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

// The session file, locked; none when the options say so or it cannot be had, which is logged.
// `lock` is what the master that this one replaces left over the exec, if anything.
std::optional<ipc::FlowFile> lock_session_file(const Config& config, UniqueFd lock);

// `upgrade`: this master replaces one that lives.
Result<FlowStore> open_flow_store(const Config& config, bool upgrade,
                                  std::optional<ipc::FlowFile> file);

}  // namespace weir
