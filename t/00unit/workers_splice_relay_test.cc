// SpliceRelay with real TCP sockets on loopback: order, half-close, blocked receivers, timeouts,
// descriptors.
#include <arpa/inet.h>
#include <dirent.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <optional>
#include <random>
#include <vector>

#include "common/base/clock.h"
#include "workers/core/splice_relay.h"

namespace {

using weir::RelayEnd;
using weir::RelaySettings;
using weir::SpliceRelay;
using weir::UniqueFd;

std::size_t open_descriptors() {
  std::size_t n = 0;
  DIR* dir = ::opendir("/proc/self/fd");
  REQUIRE(dir != nullptr);
  while (::readdir(dir) != nullptr) ++n;
  ::closedir(dir);
  return n;
}

// A connected, non-blocking pair of TCP sockets.
std::array<UniqueFd, 2> tcp_pair() {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(::bind(listener.get(), generic, length) == 0);
  REQUIRE(::listen(listener.get(), 1) == 0);
  REQUIRE(::getsockname(listener.get(), generic, &length) == 0);
  UniqueFd a(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  ::connect(a.get(), generic, length);
  UniqueFd b(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
  REQUIRE(b);
  return {std::move(a), std::move(b)};
}

struct Bed {
  // `room`: that the relay has for what the origin sends; 0: the kernel's usual one.
  explicit Bed(const RelaySettings& settings, int room = 0)
      : base(event_base_new()),
        relay(base.get(), settings,
              {[this](std::uint64_t, RelayEnd why) { ended = why; },
               [this](std::uint64_t, std::uint64_t up, std::uint64_t down) {
                 from_client += up;
                 to_client += down;
                 if (down > 0) ++moves_down;
               }}) {
    auto client_pair = tcp_pair();
    auto origin_pair = tcp_pair();
    client = std::move(client_pair[0]);
    origin = std::move(origin_pair[0]);
    inner_client = client_pair[1].get();
    if (room > 0) {
      const int fd = origin_pair[1].get();
      REQUIRE(::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) == 0);
    }
    id = relay.start(std::move(client_pair[1]), std::move(origin_pair[1]), 7);
  }
  // Runs the loop until `done` or two seconds have gone.
  template <typename Done>
  bool run_until(Done done) {
    const std::uint64_t deadline = weir::monotonic_ms() + 2000;
    while (!done()) {
      if (weir::monotonic_ms() > deadline) return false;
      event_base_loop(base.get(), EVLOOP_NONBLOCK);
      ::poll(nullptr, 0, 1);
    }
    return true;
  }

  weir::EventBasePtr base;
  std::optional<RelayEnd> ended;
  std::uint64_t from_client = 0;
  std::uint64_t to_client = 0;
  int moves_down = 0;
  SpliceRelay relay;
  UniqueFd client;
  UniqueFd origin;
  SpliceRelay::Id id = 0;
  int inner_client = -1;
};

// Takes a socket out of all event sets of this process behind their owners' backs: the next change
// of its entry then fails.
void unwatch(int socket) {
  for (int fd = 3; fd < 1024; ++fd) ::epoll_ctl(fd, EPOLL_CTL_DEL, socket, nullptr);
}

std::vector<char> random_bytes(std::size_t n) {
  std::minstd_rand random(42);
  std::vector<char> bytes(n);
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

// Sends what it can of `data` from `at` on; reads what there is to `got`.
void shuttle(int from, const std::vector<char>& data, std::size_t& at, int to,
             std::vector<char>& got) {
  if (at < data.size()) {
    const ssize_t n = ::send(from, data.data() + at, data.size() - at, MSG_NOSIGNAL);
    if (n > 0) at += static_cast<std::size_t>(n);
  }
  char buffer[65536];
  const ssize_t n = ::recv(to, buffer, sizeof buffer, 0);
  if (n > 0) got.insert(got.end(), buffer, buffer + n);
}

bool at_eof(int fd) {
  char c = 0;
  return ::recv(fd, &c, 1, MSG_PEEK) == 0;
}

}  // namespace

TEST_CASE("relay: both directions arrive whole and in order, at once and in ticks") {
  for (const std::uint64_t delay : {std::uint64_t{0}, std::uint64_t{5}}) {
    RelaySettings settings;
    settings.delay_ms = delay;
    Bed bed(settings);
    const auto data = random_bytes(8 * 1024 * 1024);
    std::vector<char> down, up;
    std::size_t sent_down = 0, sent_up = 0;
    CHECK(bed.run_until([&] {
      shuttle(bed.origin.get(), data, sent_down, bed.client.get(), down);
      shuttle(bed.client.get(), data, sent_up, bed.origin.get(), up);
      return down.size() >= data.size() && up.size() >= data.size();
    }));
    CHECK(down == data);
    CHECK(up == data);
    CHECK(bed.to_client == data.size());
    CHECK(bed.from_client == data.size());
    CHECK(bed.relay.size() == 1);
  }
}

// Its sender's kernel holds the rest back until the relay has read: here for want of room, since
// what Nagle's algorithm does with nginx-rtmp's frames hangs on when acknowledgements are due.
TEST_CASE("relay: the rest of a frame that comes with the first read goes on in the same tick") {
  static constexpr int kLearning = 80;
  static constexpr int kFrames = 20;
  const std::vector<char> sent = random_bytes(52 * 1024);
  RelaySettings settings;
  settings.delay_ms = 4;
  Bed bed(settings, 24 * 1024);
  const auto pass_a_frame = [&] {
    std::vector<char> got;
    std::size_t went = 0;
    REQUIRE(bed.run_until([&] {
      shuttle(bed.origin.get(), sent, went, bed.client.get(), got);
      return got.size() == sent.size();
    }));
  };
  for (int frame = 0; frame < kLearning; ++frame) pass_a_frame();
  bed.moves_down = 0;
  for (int frame = 0; frame < kFrames; ++frame) pass_a_frame();
  CHECK(bed.moves_down <= kFrames + kFrames / 4);
}

TEST_CASE("relay: a second read is tried now and then, and always while it pays") {
  weir::SecondRead second;
  int due = 0;
  for (int read = 0; read < 10 * weir::SecondRead::kEvery; ++read) {
    if (!second.is_due()) continue;
    ++due;
    second.note(false);
  }
  CHECK(due == 10);
  while (!second.is_due()) continue;
  second.note(true);
  for (int read = 0; read < 300; ++read) {  // brings something every third time
    REQUIRE(second.is_due());
    second.note(read % 3 == 0);
  }
  int until_given_up = 0;
  for (; second.is_due(); ++until_given_up) second.note(false);
  CHECK(until_given_up <= 17);
}

TEST_CASE("relay: a half-closed side still receives; both closed end the session") {
  RelaySettings settings;
  settings.delay_ms = 0;
  Bed bed(settings);
  REQUIRE(::shutdown(bed.client.get(), SHUT_WR) == 0);
  CHECK(bed.run_until([&] { return at_eof(bed.origin.get()); }));
  CHECK_FALSE(bed.ended);
  REQUIRE(::send(bed.origin.get(), "late", 4, 0) == 4);
  char got[8];
  CHECK(bed.run_until([&] { return ::recv(bed.client.get(), got, sizeof got, 0) == 4; }));
  bed.origin.reset();
  CHECK(bed.run_until([&] { return bed.ended.has_value(); }));
  CHECK(bed.ended == RelayEnd::kClientClosed);
  CHECK(bed.relay.size() == 0);
}

TEST_CASE("relay: a blocked receiver stops the sender, is stalled in the end, and nothing leaks") {
  const std::size_t before = open_descriptors();
  {
    RelaySettings settings;
    settings.delay_ms = 0;
    settings.stall_ms = 1000;
    Bed bed(settings);
    const auto data = random_bytes(1024 * 1024);
    std::size_t total = 0;
    std::size_t quiet = 0;
    // The client reads nothing: what the origin can send must come to an end.
    CHECK(bed.run_until([&] {
      const ssize_t n = ::send(bed.origin.get(), data.data(), data.size(), MSG_NOSIGNAL);
      if (n > 0) total += static_cast<std::size_t>(n);
      quiet = n > 0 ? 0 : quiet + 1;
      return quiet > 50;
    }));
    CHECK(total < 64 * 1024 * 1024);
    bed.relay.sweep(weir::monotonic_ms());
    CHECK_FALSE(bed.ended);
    // It reads again: all comes, and the flow goes on.
    std::vector<char> got;
    std::size_t at = data.size();
    CHECK(bed.run_until([&] {
      shuttle(bed.origin.get(), data, at, bed.client.get(), got);
      return got.size() == total;
    }));
    at = 0;
    CHECK(bed.run_until([&] {
      shuttle(bed.origin.get(), data, at, bed.client.get(), got);
      return got.size() == total + data.size();
    }));
    quiet = 0;
    CHECK(bed.run_until([&] {
      quiet = ::send(bed.origin.get(), data.data(), data.size(), MSG_NOSIGNAL) > 0 ? 0 : quiet + 1;
      return quiet > 50;
    }));
    bed.relay.sweep(weir::monotonic_ms() + settings.stall_ms + 1);
    CHECK(bed.ended == RelayEnd::kStalled);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("relay: an idle session ends at its time, a reset at once") {
  RelaySettings settings;
  settings.delay_ms = 2;
  settings.idle_ms = 5000;
  Bed idle(settings);
  idle.relay.sweep(weir::monotonic_ms() + 4000);
  CHECK_FALSE(idle.ended);
  idle.relay.sweep(weir::monotonic_ms() + 5001);
  CHECK(idle.ended == RelayEnd::kIdle);

  Bed reset(settings);
  const linger hard{1, 0};
  ::setsockopt(reset.client.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  reset.client.reset();
  CHECK(reset.run_until([&] { return reset.ended.has_value(); }));
  CHECK(reset.ended == RelayEnd::kClientClosed);
}

TEST_CASE(
    "relay: an origin that closes with a blocked client keeps its last bytes, without a spin") {
  RelaySettings settings;
  settings.delay_ms = 0;
  Bed bed(settings);
  const auto data = random_bytes(32 * 1024 * 1024);
  std::size_t total = 0;
  std::size_t quiet = 0;
  CHECK(bed.run_until([&] {
    const ssize_t n =
        ::send(bed.origin.get(), data.data() + total, data.size() - total, MSG_NOSIGNAL);
    if (n > 0) total += static_cast<std::size_t>(n);
    quiet = n > 0 ? 0 : quiet + 1;
    return quiet > 50 || total == data.size();
  }));
  bed.origin.reset();
  std::vector<char> got;
  std::size_t at = data.size();
  CHECK(bed.run_until([&] {
    shuttle(-1, data, at, bed.client.get(), got);
    return got.size() == total && at_eof(bed.client.get());
  }));
  CHECK(std::equal(got.begin(), got.end(), data.begin()));
}

TEST_CASE("relay: a socket that the kernel does not watch ends its session alone, by name") {
  RelaySettings settings;
  settings.delay_ms = 0;
  Bed bed(settings);
  auto pair = tcp_pair();
  // A file that no event set takes.
  UniqueFd file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  bed.relay.start(std::move(file), std::move(pair[1]), 8);
  CHECK(bed.relay.size() == 2);
  bed.relay.sweep(weir::monotonic_ms());
  CHECK(bed.ended == RelayEnd::kUnwatched);
  CHECK(to_string(*bed.ended) == "unwatched");
  CHECK(bed.relay.size() == 1);
  CHECK(at_eof(pair[0].get()));
}

TEST_CASE("relay: a change of interest that failed is tried again, and nothing is lost") {
  RelaySettings settings;
  settings.delay_ms = 0;
  Bed bed(settings);
  const auto data = random_bytes(1024 * 1024);
  unwatch(bed.inner_client);
  // The client reads nothing: its leg must be watched for room, which fails.
  std::size_t total = 0;
  std::size_t quiet = 0;
  CHECK(bed.run_until([&] {
    const ssize_t n = ::send(bed.origin.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (n > 0) total += static_cast<std::size_t>(n);
    quiet = n > 0 ? 0 : quiet + 1;
    return quiet > 50;
  }));
  bed.relay.sweep(weir::monotonic_ms());
  CHECK_FALSE(bed.ended);
  std::vector<char> got;
  std::size_t at = data.size();
  CHECK(bed.run_until([&] {
    shuttle(bed.origin.get(), data, at, bed.client.get(), got);
    return got.size() == total;
  }));
}
