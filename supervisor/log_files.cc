#include "supervisor/log_files.h"

#include "common/base/access_log.h"
#include "common/base/log.h"

namespace weir {
namespace {

LogSettings log_settings(const Config& config) {
  LogSettings settings;
  if (config.log.target == "file") settings.target = LogTarget::kFile;
  if (config.log.target == "syslog") settings.target = LogTarget::kSyslog;
  if (config.log.format == "json") settings.format = LogFormat::kJson;
  settings.level = parse_log_level(config.log.level).value_or(LogLevel::kInfo);
  settings.file = config.log.file;
  return settings;
}

AccessLogSettings access_log_settings(const Config& config) {
  AccessLogSettings settings;
  if (config.access_log.target == "stderr") settings.target = AccessTarget::kStderr;
  if (config.access_log.target == "file") settings.target = AccessTarget::kFile;
  if (config.access_log.target == "syslog") settings.target = AccessTarget::kSyslog;
  if (config.access_log.format == "json") settings.format = LogFormat::kJson;
  settings.file = config.access_log.file;
  settings.keep_query = config.access_log.query == "keep";
  return settings;
}

void pass_log(WorkerPool& workers, ipc::LogKind kind, int fd) {
  const bool access = kind == ipc::LogKind::kAccess;
  for (auto& [page, process] : workers.all()) {
    ipc::ReopenLog message;
    message.log = kind;
    if (!workers.send(process, page, message, fd)) {
      LogLine(LogLevel::kError, "worker goes on with the old log file")
          .field("pid", process.pid)
          .field("log", access ? "access" : "error");
    }
  }
  LogLine(LogLevel::kNotice, access ? "access log reopened" : "log reopened");
}

}  // namespace

Result<void> open_logs(const Config& config, const Config* running) {
  auto opened = log_open(log_settings(config));
  if (opened) opened = access_log_open(access_log_settings(config));
  if (!opened && running != nullptr) {
    static_cast<void>(log_open(log_settings(*running)));
    static_cast<void>(access_log_open(access_log_settings(*running)));
  }
  return opened;
}

void reopen_logs(const Config& config, WorkerPool& workers) {
  if (auto opened = log_open(log_settings(config)); !opened) {
    LogLine(LogLevel::kError, "cannot reopen the log").field("error", opened.error().text);
  } else if (config.log.target == "file") {
    pass_log(workers, ipc::LogKind::kError, log_fd());
  }
  if (auto opened = access_log_open(access_log_settings(config)); !opened) {
    LogLine(LogLevel::kError, "cannot reopen the access log").field("error", opened.error().text);
  } else if (config.access_log.target == "file") {
    pass_log(workers, ipc::LogKind::kAccess, access_log_fd());
  }
}

}  // namespace weir
