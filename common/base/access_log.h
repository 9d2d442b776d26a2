// Where access log lines go: nowhere, stderr, a file or syslog. Process-wide, like the error log:
// the master opens it before it forks (and again at SIGUSR1), workers write and may only adopt.
//
// Lines are collected and leave in one write() of whole lines, which a file opened for appending
// and a pipe take in one piece; so those of several processes do not mix. Whoever writes sees to it
// that access_log_flush() is called soon (workers/core/access_logger.h does).
#pragma once

#include <cstdint>
#include <string>

#include "common/base/access_record.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/result.h"

namespace weir {

enum class AccessTarget : std::uint8_t { kOff, kStderr, kFile, kSyslog };

struct AccessLogSettings {
  AccessTarget target = AccessTarget::kOff;
  LogFormat format = LogFormat::kText;
  std::string file;         // path, for kFile
  bool keep_query = false;  // else queries, which may hold tokens, are not told
};

// Opens the target and makes it the current one; on an error the current one stays in use.
Result<void> access_log_open(const AccessLogSettings& settings);
bool access_log_enabled();
bool access_log_keeps_query();
// The file's descriptor, -1 for other targets. The log keeps owning it.
int access_log_fd();
// Writes out what waits and replaces the file's descriptor (SIGUSR1).
void access_log_adopt_fd(UniqueFd fd);
// True when the line waits for access_log_flush().
bool access_log_write(const AccessRecord& record);
void access_log_flush();

}  // namespace weir
