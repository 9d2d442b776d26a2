// Log lines: one event, a sentence, and fields. Text or JSON, to stderr, a file or syslog.
//
//   LogLine(LogLevel::kWarn, "dial failed, trying the next origin")
//       .session(id).field("stream", key).field("origin", name).field("error", text);
//
// The line is written with one write() when the object dies, so lines of several processes do not
// mix. Process-wide state: each process sets it up once (log_open) and after a fork names itself
// (log_set_process). Not for the relay's hot path. Values from outside are escaped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace weir {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kNotice, kWarn, kError, kOff };
enum class LogFormat : std::uint8_t { kText, kJson };
enum class LogTarget : std::uint8_t { kStderr, kFile, kSyslog };

struct LogSettings {
  LogTarget target = LogTarget::kStderr;
  LogFormat format = LogFormat::kText;
  LogLevel level = LogLevel::kInfo;
  std::string file;  // path, for kFile
};

// Opens the target and makes it the current one; on an error the current one stays in use.
Result<void> log_open(const LogSettings& settings);
// The current target's descriptor (kStderr, kFile), -1 for syslog. The logger keeps owning it.
int log_fd();
// Replaces the file's descriptor: how a worker that may not open the file reopens it (SIGUSR1).
void log_adopt_fd(UniqueFd fd);
// What stands in each line as the process: "master", "rtmp.0", "control"...
void log_set_process(std::string name);
bool log_enabled(LogLevel level);
Result<LogLevel> parse_log_level(std::string_view text);

// A session's id as it stands in every log line, the access log and metrics' exemplars.
// 64 bits, unique for the life of the service; printed as 16 hex digits.
using SessionId = std::uint64_t;
std::string session_text(SessionId id);

struct Endpoint;  // common/base/endpoint.h

class LogLine {
 public:
  LogLine(LogLevel level, std::string_view event);
  LogLine(const LogLine&) = delete;
  LogLine& operator=(const LogLine&) = delete;
  ~LogLine();

  LogLine& session(SessionId id);
  LogLine& field(std::string_view name, std::string_view value);
  LogLine& field(std::string_view name, const char* value) {
    return field(name, std::string_view(value));
  }
  LogLine& field(std::string_view name, const Endpoint& value);
  template <typename Integer>
  requires std::is_integral_v<Integer> LogLine& field(std::string_view name, Integer value) {
    return on_ ? number(name, std::to_string(value)) : *this;
  }
  // A text that costs something, made only when the line is written.
  template <typename Make>
  requires std::is_invocable_v<Make> LogLine& field(std::string_view name, Make make) {
    return on_ ? field(name, std::string_view(make())) : *this;
  }

 private:
  LogLine& number(std::string_view name, std::string_view digits);
  bool on_;
  LogLevel level_;
  std::string event_;
  std::string fields_;  // already in the output format
};

}  // namespace weir
