// Owners of libevent objects, and how they are put to work. An event must die before its base.
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
// For the events that all of a worker hangs on: its timers, its listeners, its channel. When the
// event loop cannot take one (no memory, fs.epoll.max_user_watches) the worker says so and ends,
// and the master starts another; it would otherwise stand there and do nothing.
void add_or_end(event* e, const timeval* wait = nullptr);

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
  add_or_end(timer.get(), &wait);
}

}  // namespace weir
