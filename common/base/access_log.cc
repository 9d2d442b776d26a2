#include "common/base/access_log.h"

#include <fcntl.h>
#include <limits.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "common/base/clock.h"

namespace weir {
namespace {

constexpr std::size_t kBufferBytes = 32 * 1024;
constexpr std::uint64_t kComplainMs = 10000;  // between two words about lines that were lost

struct State {
  AccessLogSettings settings;
  UniqueFd file;
  std::string waiting;  // whole lines
  bool torn = false;    // the last write() that failed had written part of a line
  std::uint64_t lost = 0;
  std::uint64_t complain_at_ms = 0;
};

State& state() {
  static State instance;
  return instance;
}

int current_fd(const State& s) {
  return s.settings.target == AccessTarget::kStderr ? STDERR_FILENO : s.file.get();
}

// Whole lines from the front of `lines`, as many as a pipe takes in one piece; for a file all.
std::string_view next_piece(const State& s, std::string_view lines) {
  if (s.settings.target != AccessTarget::kStderr || lines.size() <= PIPE_BUF) return lines;
  const std::size_t end = lines.substr(0, PIPE_BUF).rfind('\n');
  return lines.substr(0, end == lines.npos ? lines.find('\n') + 1 : end + 1);
}

// False: the target takes no more. A log that cannot be written must not stop the service.
bool write_piece(State& s, std::string_view piece) {
  if (s.torn) {
    if (::write(current_fd(s), "\n", 1) != 1) return false;
    s.torn = false;
  }
  while (!piece.empty()) {
    const ssize_t n = ::write(current_fd(s), piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    s.torn = piece[static_cast<std::size_t>(n) - 1] != '\n';
    piece.remove_prefix(static_cast<std::size_t>(n));
  }
  s.torn = false;
  return true;
}

void count_lost(State& s, std::string_view lines, int error) {
  for (const char c : lines) s.lost += c == '\n' ? 1 : 0;
  const std::uint64_t now = monotonic_ms();
  if (now < s.complain_at_ms) return;
  s.complain_at_ms = now + kComplainMs;
  LogLine(LogLevel::kError, "access log cannot be written")
      .field("lines_lost", s.lost)
      .field("file", s.settings.file)
      .field("error", std::strerror(error));
}

}  // namespace

Result<void> access_log_open(const AccessLogSettings& settings) {
  State& s = state();
  UniqueFd file;
  if (settings.target == AccessTarget::kFile) {
    file.reset(::open(settings.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    if (!file) return fail_errno("cannot open access log " + settings.file, errno);
  } else if (settings.target == AccessTarget::kSyslog) {
    ::openlog("weir", LOG_NDELAY | LOG_PID, LOG_DAEMON);
  }
  access_log_flush();
  s.settings = settings;
  s.file = std::move(file);
  return {};
}

bool access_log_enabled() {
  return state().settings.target != AccessTarget::kOff;
}

bool access_log_keeps_query() {
  return state().settings.keep_query;
}

int access_log_fd() {
  return state().file.get();
}

void access_log_adopt_fd(UniqueFd fd) {
  if (state().settings.target != AccessTarget::kFile) return;
  access_log_flush();
  state().file = std::move(fd);
}

bool access_log_write(const AccessRecord& record) {
  State& s = state();
  if (s.settings.target == AccessTarget::kOff) return false;
  append_access_line(s.waiting, record, s.settings.format);
  if (s.settings.target == AccessTarget::kSyslog || s.waiting.size() >= kBufferBytes) {
    access_log_flush();
  }
  return !s.waiting.empty();
}

void access_log_flush() {
  State& s = state();
  std::string_view rest = s.waiting;
  if (s.settings.target == AccessTarget::kSyslog) {  // one line each time
    if (!rest.empty()) ::syslog(LOG_INFO, "%s", s.waiting.c_str());
    rest = {};
  }
  while (!rest.empty()) {
    const std::string_view piece = next_piece(s, rest);
    if (!write_piece(s, piece)) {
      count_lost(s, rest, errno);
      break;
    }
    rest.remove_prefix(piece.size());
  }
  s.waiting.clear();
}

}  // namespace weir
