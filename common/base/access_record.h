// AccessRecord: one line of the access log, a session or request of any protocol, and its two
// forms. Pure; the views need to live only as long as the call. docs/LOGS.md; access_log.h writes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/endpoint.h"
#include "common/base/log.h"

namespace weir {

// A number that does not apply: `-`, in JSON null.
inline constexpr std::uint64_t kAbsent = ~std::uint64_t{0};

// Members in no particular order; access_fields.def has the line's. Empty texts are absent.
struct AccessRecord {
  std::uint64_t time_ms = 0;  // wall clock
  SessionId session = 0;
  std::string_view protocol;
  std::string_view method;
  Endpoint client;
  std::string_view stream;
  std::string_view target;
  std::uint64_t status = kAbsent;
  std::string_view origin;
  std::uint64_t bytes_from_client = 0;
  std::uint64_t bytes_to_client = 0;
  std::uint64_t duration_ms = 0;
  std::uint64_t first_byte_ms = kAbsent;
  std::string_view reason;
  std::string_view agent;
  std::string_view referer;
};

// One line with its newline, shorter than PIPE_BUF whatever the texts are. Text: `name=value`
// between blanks, quoted and escaped where needed; JSON: one object. Both have all fields, always.
void append_access_line(std::string& out, const AccessRecord& record, LogFormat format);

// A URL or path as far as it may be told: without what follows `?`, `%3F` or `#`, and without a
// user and password before the host. Tokens travel there.
std::string_view without_secrets(std::string_view url);

}  // namespace weir
