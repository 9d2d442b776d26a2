#include "common/base/log.h"
#include "common/base/endpoint.h"

#include <fcntl.h>
#include <syslog.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "common/base/clock.h"
#include "common/base/escape.h"

namespace weir {
namespace {

struct State {
  LogSettings settings;
  UniqueFd file;
  std::string process = "weir";
};

State& state() {
  static State instance;
  return instance;
}

constexpr std::array<std::string_view, 6> kNames = {"debug", "info",  "notice",
                                                    "warn",  "error", "off"};

std::string_view level_name(LogLevel level) {
  return kNames[static_cast<std::size_t>(level)];
}

int syslog_priority(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return LOG_DEBUG;
    case LogLevel::kInfo:
      return LOG_INFO;
    case LogLevel::kNotice:
      return LOG_NOTICE;
    case LogLevel::kWarn:
      return LOG_WARNING;
    case LogLevel::kError:
    case LogLevel::kOff:
      return LOG_ERR;
  }
  return LOG_ERR;
}

void write_all(int fd, std::string_view line) {
  while (!line.empty()) {
    const ssize_t n = ::write(fd, line.data(), line.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // a log that cannot be written must not stop the service
    line.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

Result<void> log_open(const LogSettings& settings) {
  State& s = state();
  UniqueFd file;
  if (settings.target == LogTarget::kFile) {
    file.reset(::open(settings.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    if (!file) return fail_errno("cannot open log file " + settings.file, errno);
  } else if (settings.target == LogTarget::kSyslog) {
    ::openlog("weir", LOG_NDELAY | LOG_PID, LOG_DAEMON);
  }
  s.settings = settings;
  s.file = std::move(file);
  return {};
}

int log_fd() {
  const State& s = state();
  switch (s.settings.target) {
    case LogTarget::kStderr:
      return STDERR_FILENO;
    case LogTarget::kFile:
      return s.file.get();
    case LogTarget::kSyslog:
      return -1;
  }
  return -1;
}

void log_adopt_fd(UniqueFd fd) {
  if (state().settings.target == LogTarget::kFile) state().file = std::move(fd);
}

void log_set_process(std::string name) {
  state().process = std::move(name);
}

bool log_enabled(LogLevel level) {
  return level != LogLevel::kOff && level >= state().settings.level;
}

Result<LogLevel> parse_log_level(std::string_view text) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == text) return static_cast<LogLevel>(i);
  }
  return fail("unknown log level \"" + std::string(text) +
              "\" (debug, info, notice, warn, error, off)");
}

std::string session_text(SessionId id) {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(id));
  return text;
}

LogLine::LogLine(LogLevel level, std::string_view event) : on_(log_enabled(level)), level_(level) {
  if (on_) event_ = event;
}

LogLine& LogLine::session(SessionId id) {
  return on_ ? field("session", session_text(id)) : *this;
}

LogLine& LogLine::field(std::string_view name, std::string_view value) {
  if (!on_) return *this;
  const bool json = state().settings.format == LogFormat::kJson;
  fields_ += json ? "," : " ";
  if (json) {
    append_quoted(fields_, name);
    fields_ += ':';
    append_quoted(fields_, value);
  } else {
    fields_ += name;
    fields_ += '=';
    if (needs_quotes(value)) {
      append_quoted(fields_, value);
    } else {
      fields_ += value;
    }
  }
  return *this;
}

LogLine& LogLine::field(std::string_view name, const Endpoint& value) {
  return on_ ? field(name, to_string(value)) : *this;
}

LogLine& LogLine::number(std::string_view name, std::string_view digits) {
  if (!on_) return *this;
  const bool json = state().settings.format == LogFormat::kJson;
  fields_ += json ? "," : " ";
  if (json) {
    append_quoted(fields_, name);
    fields_ += ':';
  } else {
    fields_ += name;
    fields_ += '=';
  }
  fields_ += digits;
  return *this;
}

LogLine::~LogLine() {
  if (!on_) return;
  const State& s = state();
  std::string line;
  line.reserve(128 + event_.size() + fields_.size());
  if (s.settings.format == LogFormat::kJson) {
    line += "{\"time\":\"" + utc_text(wall_ms()) + "\",\"level\":\"";
    line += level_name(level_);
    line += "\",\"process\":";
    append_quoted(line, s.process);
    line += ",\"pid\":" + std::to_string(::getpid()) + ",\"event\":";
    append_quoted(line, event_);
    line += fields_ + "}\n";
  } else {
    line += utc_text(wall_ms()) + " ";
    line += level_name(level_);
    line += " " + s.process + "[" + std::to_string(::getpid()) + "] " + event_ + fields_ + "\n";
  }
  if (s.settings.target == LogTarget::kSyslog) {
    ::syslog(syslog_priority(level_), "%s", line.c_str());
  } else {
    write_all(log_fd(), line);
  }
}

}  // namespace weir
