#include "workers/core/event_ptr.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "common/base/log.h"

namespace weir {

void add_or_end(event* e, const timeval* wait) {
  if (e != nullptr && event_add(e, wait) == 0) return;
  LogLine(LogLevel::kError, "the event loop cannot take an event; cannot go on")
      .field("error", std::strerror(errno));
  std::abort();
}

}  // namespace weir
