#include "workers/core/burst_poller.h"

#include <sys/timerfd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"

namespace weir {
namespace {

constexpr int kBatch = 256;
constexpr std::uint64_t kRetryUs = 10'000'000;  // after ticks that could not be had
// Collections at a time while sockets have more, before other events of the worker get their turn.
constexpr int kRounds = 8;
// A wake-up costs about what a tick costs. So ticks begin when there were as many wake-ups as there
// would have been ticks, and end when two of three found nothing.
constexpr unsigned kWindowTicks = 32;
constexpr unsigned kFewTicks = kWindowTicks / 3;

}  // namespace

bool BurstPace::on_wake(std::uint64_t now_us) {
  if (now_us - began_us_ > kWindowTicks * tick_us_) {
    began_us_ = now_us;
    found_ = 0;
  }
  if (++found_ < kWindowTicks) return false;
  ticks_ = found_ = 0;
  return true;
}

bool BurstPace::on_tick(bool found) {
  found_ += found ? 1U : 0U;
  if (++ticks_ < kWindowTicks) return false;
  const bool few = found_ < kFewTicks;
  ticks_ = found_ = 0;
  return few;
}

BurstPoller::BurstPoller(event_base* base, std::uint64_t tick_ms, OnReady on_ready)
    : tick_us_(tick_ms * 1000),
      on_ready_(std::move(on_ready)),
      pace_(tick_us_),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)),
      wake_event_(event_new(
          base, epoll_.get(), EV_READ | EV_PERSIST,
          [](evutil_socket_t, short, void* self) { static_cast<BurstPoller*>(self)->on_wake(); },
          this)),
      tick_event_(event_new(
          base, timer_.get(), EV_READ | EV_PERSIST,
          [](evutil_socket_t, short, void* self) { static_cast<BurstPoller*>(self)->on_tick(); },
          this)) {
  if (!timer_) {
    LogLine(LogLevel::kError, "timerfd_create failed; cannot go on");
    std::abort();
  }
  add_or_end(wake_event_.get());
}

bool BurstPoller::set_timer(std::uint64_t tick_us) {
  itimerspec spec{};
  spec.it_interval.tv_sec = static_cast<time_t>(tick_us / 1000000);
  spec.it_interval.tv_nsec = static_cast<long>(tick_us % 1000000 * 1000);
  spec.it_value = spec.it_interval;
  return ::timerfd_settime(timer_.get(), 0, &spec, nullptr) == 0;
}

void BurstPoller::on_wake() {
  collect();
  const std::uint64_t now_us = monotonic_us();
  if (tick_us_ == 0 || !pace_.on_wake(now_us) || now_us < no_ticks_until_us_) return;
  // Without a tick packets go on to wake it, which costs more and loses nothing.
  if (tick_event_ && event_add(tick_event_.get(), nullptr) == 0) {
    if (set_timer(tick_us_)) {
      event_del(wake_event_.get());
      return;
    }
    event_del(tick_event_.get());
  }
  LogLine(LogLevel::kError, "cannot move packets in ticks, going on without")
      .field("error", std::strerror(errno));
  no_ticks_until_us_ = now_us + kRetryUs;
}

void BurstPoller::on_tick() {
  // The timer runs on when it is read; how many ticks it has missed makes no difference.
  std::uint64_t expirations = 0;
  if (::read(timer_.get(), &expirations, sizeof expirations) < 0) return;
  if (!pace_.on_tick(collect())) return;
  if (event_add(wake_event_.get(), nullptr) != 0) return;  // then it goes on ticking
  static_cast<void>(set_timer(0));
  event_del(tick_event_.get());
}

bool BurstPoller::collect() {
  std::array<epoll_event, kBatch> events;
  bool found = false;
  for (int round = 0; round < kRounds; ++round) {
    const int n = ::epoll_wait(epoll_.get(), events.data(), kBatch, 0);
    bool more = n == kBatch;
    for (int i = 0; i < n; ++i) more |= on_ready_(events[static_cast<std::size_t>(i)].data.u64);
    found |= n > 0;
    if (!more) break;
  }
  return found;
}

}  // namespace weir
