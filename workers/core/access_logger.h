// AccessLogger: writes access log records from a worker's event loop, and sees to it that a line
// waits no longer than half a second, so that a crash loses no more than that. What a session has
// to remember for its line is in AccessTexts. Owner: a worker; must die before the event base, and
// writes out what is left when it does.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/base/access_log.h"
#include "workers/core/event_ptr.h"

namespace weir {

// What is known early in a session and told at its end. Texts are cut to what a line holds.
struct AccessTexts {
  std::string target;
  std::string agent;
  std::string referer;
  std::string origin;
};
// Null when there is no access log: its sessions need not remember anything. `target` and `referer`
// lose what must not be told.
std::unique_ptr<AccessTexts> remember_access(std::string_view target, std::string_view agent,
                                             std::string_view referer);

class AccessLogger {
 public:
  explicit AccessLogger(event_base* base);
  AccessLogger(const AccessLogger&) = delete;
  AccessLogger& operator=(const AccessLogger&) = delete;
  ~AccessLogger();

  // Sets the record's time and, if there are any, its texts.
  void write(AccessRecord record, const AccessTexts* texts);

 private:
  EventPtr timer_;
  bool armed_ = false;
};

}  // namespace weir
