// The session file: the session table in a file, so that sessions outlive the service. A starting
// master locks the name (FlowFile::lock), reads what its predecessor left (read_flows), makes a
// table in a new file of its own and gives that the name (create, publish). So no two masters ever
// write one file, whoever starts or dies when.
//
// The file is untrusted input: who owns it and every record are checked before anything is
// believed. Owner: the master.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/fd.h"
#include "common/base/result.h"
#include "ipc/flow_table.h"
#include "ipc/kept_file.h"

namespace weir::ipc {

class FlowFile : public KeptFile {
 public:
  // Takes `path`.lock. sys_errno EWOULDBLOCK: another master uses the path.
  static Result<FlowFile> lock(const std::string& path);
  // The same with the lock that another master left over an exec.
  static FlowFile inherit(const std::string& path, UniqueFd lock);

  int lock_fd() const { return lock_.get(); }

 private:
  using KeptFile::KeptFile;
  UniqueFd lock_;
};

struct SavedFlow {
  std::uint32_t slot = 0;
  FlowRecord record;
};
struct SavedFlows {
  std::vector<SavedFlow> flows;
  std::uint32_t bad = 0;  // records that were not believed
};

// The sessions in the bytes of a session file. Fails when it is none, has another layout, is of
// another boot, or when its master's last sign of life is longer ago than max_age_ms.
Result<SavedFlows> read_flows(ByteView file, const std::string& boot_id, std::uint64_t now_ms,
                              std::uint64_t max_age_ms);
// The record could have been written by this program: everything in range and complete. Not
// checked: what only several records together show.
bool plausible(const FlowRecord& record, std::uint64_t now_ms);
// Credentials as RFC 8839 (section 5.4) bounds them, in printable characters.
bool valid_credentials(std::string_view username, std::string_view password);

}  // namespace weir::ipc
