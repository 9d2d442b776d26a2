#include <fcntl.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <string>
#include <string_view>

#include "workers/core/burst_poller.h"

using namespace weir;

namespace {

constexpr std::uint64_t kTickUs = 2000;
constexpr unsigned kWindow = 32;

struct Pipe {
  UniqueFd read_end, write_end;
  Pipe() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) == 0);
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
  }
  void put() const { REQUIRE(::write(write_end.get(), "x", 1) == 1); }
};

}  // namespace

TEST_CASE("many wake-ups begin the ticks, few do not") {
  BurstPace pace(kTickUs);
  std::uint64_t now = 1'000'000;
  // One wake-up in two ticks, however long.
  for (unsigned i = 0; i < 10 * kWindow; ++i) CHECK_FALSE(pace.on_wake(now += 2 * kTickUs));
  // Two a tick.
  unsigned wakes = 1;
  while (!pace.on_wake(now += kTickUs / 2)) ++wakes;
  CHECK(wakes >= kWindow / 2);
  CHECK(wakes <= 2 * kWindow);
}

TEST_CASE("ticks go on while half of them find something and end when few do") {
  BurstPace pace(kTickUs);
  for (unsigned i = 0; i < 10 * kWindow; ++i) CHECK_FALSE(pace.on_tick(i % 2 == 0));
  unsigned ticks = 1;
  while (!pace.on_tick(ticks % 5 == 0)) ++ticks;
  CHECK(ticks == kWindow);
}

TEST_CASE("events arrive while it waits, while it ticks, and when packets are few again") {
  const EventBasePtr base(event_base_new());
  const Pipe pipe;
  unsigned seen = 0;
  unsigned wanted = 10 * kWindow;
  std::function<void()> refill;
  BurstPoller poller(base.get(), 1, [&](std::uint64_t token) {
    CHECK(token == 7);
    char byte = 0;
    if (::read(pipe.read_end.get(), &byte, 1) == 1) ++seen;
    if (seen < wanted) {
      refill();
    } else {
      event_base_loopbreak(base.get());
    }
    return false;
  });
  refill = [&] { pipe.put(); };
  REQUIRE(poller.add(pipe.read_end.get(), EPOLLIN, 7));
  pipe.put();
  event_base_dispatch(base.get());
  CHECK(seen == wanted);  // the first of them one by one, the others a tick each

  // Nothing for longer than a window: the next one wakes it again.
  timeval pause = to_timeval(3 * kWindow);
  event_base_loopexit(base.get(), &pause);
  event_base_dispatch(base.get());
  wanted = seen + 1;
  pipe.put();
  event_base_dispatch(base.get());
  CHECK(seen == wanted);
}

TEST_CASE("a reader that has more is called again at once") {
  const EventBasePtr base(event_base_new());
  const Pipe pipe;
  unsigned calls = 0;
  BurstPoller poller(base.get(), 0, [&](std::uint64_t) {
    ++calls;
    if (calls == 4) event_base_loopbreak(base.get());
    return calls % 4 != 0;
  });
  REQUIRE(poller.add(pipe.read_end.get(), EPOLLIN, 0));
  pipe.put();
  event_base_loop(base.get(), EVLOOP_ONCE);
  CHECK(calls == 4);
}

TEST_CASE("without its timer it goes on as packets wake it") {
  const EventBasePtr base(event_base_new());
  const Pipe pipe;
  unsigned seen = 0;
  BurstPoller poller(base.get(), 1, [&](std::uint64_t) {
    char byte = 0;
    if (::read(pipe.read_end.get(), &byte, 1) == 1) ++seen;
    if (seen < 10 * kWindow) {
      pipe.put();
    } else {
      event_base_loopbreak(base.get());
    }
    return false;
  });
  // Something that can be neither set nor watched, in the place of its timer.
  char name[64] = {};
  for (int fd = 3; fd < 1024; ++fd) {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t n = ::readlink(path.c_str(), name, sizeof name);
    if (n <= 0 || std::string_view(name, static_cast<std::size_t>(n)) != "anon_inode:[timerfd]") {
      continue;
    }
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(null, fd);
    ::close(null);
  }
  REQUIRE(poller.add(pipe.read_end.get(), EPOLLIN, 7));
  pipe.put();
  event_base_dispatch(base.get());
  CHECK(seen == 10 * kWindow);
}
