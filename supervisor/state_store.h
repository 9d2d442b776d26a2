// Where the state segment lives: in a file beside the session file, or in memory alone. Reads what
// an earlier master left there, and makes the new segment. A file that cannot be had is no reason
// not to serve.
#pragma once

#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/config/config.h"
#include "ipc/flow_file.h"
#include "ipc/kept_file.h"
#include "ipc/route_reader.h"
#include "ipc/state_writer.h"
#include "supervisor/flow_service.h"

namespace weir {

struct StateStore {
  ipc::StateWriter table;
  std::optional<ipc::KeptFile> file;    // not published yet
  std::optional<ipc::StateView> saved;  // none in an upgrade: the old master's is at hand
};

// `sessions`: the session file, whose lock is that of both; nullptr: there is none.
Result<StateStore> open_state_store(const Config& config, bool upgrade,
                                    const ipc::FlowFile* sessions);

// Gives the new file the path, once. Of two masters in an upgrade the old one's keeps it until the
// new one has its sessions.
void publish_state(std::optional<ipc::KeptFile>& file, const FlowService& sessions);

}  // namespace weir
