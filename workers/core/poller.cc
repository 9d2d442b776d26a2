#include "workers/core/poller.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"

namespace weir {
namespace {

constexpr int kBatch = 256;
// Level-triggered entries that stay ready come again in the same collection; other events of the
// worker must get their turn all the same.
constexpr int kBatchesMax = 64;

}  // namespace

EpollSet::EpollSet() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_) return;
  LogLine(LogLevel::kError, "epoll_create1 failed; cannot go on");
  std::abort();
}

Poller::Poller(event_base* base, std::uint64_t tick_ms, OnReady on_ready)
    : tick_ms_(tick_ms), on_ready_(std::move(on_ready)) {
  if (tick_ms_ == 0) {
    event_.reset(event_new(
        base, epoll_.get(), EV_READ | EV_PERSIST,
        [](evutil_socket_t, short, void* self) { static_cast<Poller*>(self)->collect(); }, this));
    add_or_end(event_.get());
  } else {
    event_.reset(event_new(
        base, -1, 0,
        [](evutil_socket_t, short, void* self) { static_cast<Poller*>(self)->on_tick(); }, this));
  }
}

bool EpollSet::add(int fd, std::uint32_t events, std::uint64_t token) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

bool EpollSet::modify(int fd, std::uint32_t events, std::uint64_t token) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0;
}

void EpollSet::remove(int fd) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void Poller::resume() {
  if (tick_ms_ == 0 || running_) return;
  running_ = true;
  next_tick_us_ = monotonic_us() + tick_ms_ * 1000;
  arm(event_, tick_ms_);
}

void Poller::pause() {
  if (tick_ms_ == 0 || !running_) return;
  running_ = false;
  event_del(event_.get());
}

void Poller::on_tick() {
  collect();
  if (!running_) return;
  // Ticks keep their own time: what a collection costs does not make the next one later.
  const std::uint64_t now = monotonic_us();
  next_tick_us_ = std::max(next_tick_us_ + tick_ms_ * 1000, now + 1000);
  const std::uint64_t wait_us = next_tick_us_ - now;
  const timeval wait{static_cast<time_t>(wait_us / 1000000),
                     static_cast<suseconds_t>(wait_us % 1000000)};
  add_or_end(event_.get(), &wait);
}

void Poller::collect() {
  std::array<epoll_event, kBatch> events;
  for (int batch = 0; batch < kBatchesMax; ++batch) {
    const int n = ::epoll_wait(epoll_.get(), events.data(), kBatch, 0);
    for (int i = 0; i < n; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      on_ready_(event.data.u64, event.events);
    }
    if (n < kBatch || tick_ms_ == 0) return;
  }
}

}  // namespace weir
