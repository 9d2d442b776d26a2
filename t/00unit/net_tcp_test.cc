// Options of sockets, against this machine's kernel.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "common/net/tcp.h"

namespace weir::net {
namespace {

constexpr int kDelayedAckMaxUs = 46;  // TCP_DELACK_MAX_US

int option(int fd, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, IPPROTO_TCP, name, &value, &length) == 0 ? value : -1;
}

TEST_CASE("both legs of a relay: no Nagle, no long wait for acknowledgements") {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(fd);
  const bool known = option(fd.get(), kDelayedAckMaxUs) > 0;  // Linux 6.15
  set_tcp_options(fd.get(), {90'000, 30'000});
  CHECK(option(fd.get(), TCP_NODELAY) == 1);
  CHECK(option(fd.get(), TCP_KEEPIDLE) == 90);
  CHECK(option(fd.get(), TCP_USER_TIMEOUT) == 30'000);
  if (known) CHECK(option(fd.get(), kDelayedAckMaxUs) == kAckDelayUs);
}

}  // namespace
}  // namespace weir::net
