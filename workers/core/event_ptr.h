// Owners of libevent objects. An event must die before its base.
#pragma once

#include <event2/event.h>

#include <memory>

namespace weir {

struct EventBaseDeleter {
  void operator()(event_base* base) const { event_base_free(base); }
};
struct EventDeleter {
  void operator()(event* e) const { event_free(e); }
};
using EventBasePtr = std::unique_ptr<event_base, EventBaseDeleter>;
using EventPtr = std::unique_ptr<event, EventDeleter>;

inline timeval to_timeval(unsigned long long ms) {
  return timeval{static_cast<time_t>(ms / 1000), static_cast<suseconds_t>(ms % 1000 * 1000)};
}

// A timer that calls owner->Method() when it has been armed and its time has come.
template <auto Method, typename Owner>
EventPtr make_timer(event_base* base, Owner* owner) {
  return EventPtr(event_new(
      base, -1, 0,
      [](evutil_socket_t, short, void* self) { (static_cast<Owner*>(self)->*Method)(); }, owner));
}
inline void arm(const EventPtr& timer, unsigned long long ms) {
  const timeval wait = to_timeval(ms);
  event_add(timer.get(), &wait);
}

}  // namespace weir
