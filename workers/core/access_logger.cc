#include "workers/core/access_logger.h"

#include "common/base/clock.h"

namespace weir {
namespace {

constexpr std::uint64_t kFlushMs = 500;
constexpr std::size_t kTextBytes = 1024;  // no field of the line holds more

std::string cut(std::string_view text) {
  return std::string(text.substr(0, kTextBytes + 1));  // one more, so that the line shows the cut
}

}  // namespace

std::unique_ptr<AccessTexts> remember_access(std::string_view target, std::string_view agent,
                                             std::string_view referer) {
  if (!access_log_enabled()) return nullptr;
  const bool all = access_log_keeps_query();
  auto texts = std::make_unique<AccessTexts>();
  texts->target = cut(all ? target : without_secrets(target));
  texts->agent = cut(agent);
  texts->referer = cut(all ? referer : without_secrets(referer));
  return texts;
}

AccessLogger::AccessLogger(event_base* base)
    : timer_(event_new(
          base, -1, 0,
          [](evutil_socket_t, short, void* self) {
            static_cast<AccessLogger*>(self)->armed_ = false;
            access_log_flush();
          },
          this)) {}

AccessLogger::~AccessLogger() {
  access_log_flush();
}

void AccessLogger::write(AccessRecord record, const AccessTexts* texts) {
  if (!access_log_enabled()) return;
  record.time_ms = wall_ms();
  if (texts != nullptr) {
    record.target = texts->target;
    record.agent = texts->agent;
    record.referer = texts->referer;
    record.origin = texts->origin;
  }
  if (!access_log_write(record) || armed_) return;
  armed_ = true;
  const timeval wait = to_timeval(kFlushMs);
  add_or_end(timer_.get(), &wait);
}

}  // namespace weir
