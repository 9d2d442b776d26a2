// Options of sockets, against this machine's kernel.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "common/net/tcp.h"

namespace weir::net {
namespace {

int option(int fd, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, IPPROTO_TCP, name, &value, &length) == 0 ? value : -1;
}

TEST_CASE("both legs of a relay: no Nagle, a dead peer is noticed") {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(fd);
  set_tcp_options(fd.get(), {90'000, 30'000});
  CHECK(option(fd.get(), TCP_NODELAY) == 1);
  CHECK(option(fd.get(), TCP_KEEPIDLE) == 90);
  CHECK(option(fd.get(), TCP_USER_TIMEOUT) == 30'000);
}

}  // namespace
}  // namespace weir::net
