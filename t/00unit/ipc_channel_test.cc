#include "ipc/channel.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include "ipc/messages.h"

namespace {

using namespace weir::ipc;
using weir::ByteView;

std::pair<Channel, Channel> make() {
  auto pair = Channel::make_pair();
  REQUIRE(pair.has_value());
  return std::move(*pair);
}

}  // namespace

TEST_CASE("messages keep their borders and their order") {
  auto [a, b] = make();
  CHECK(b.receive().status == ReceiveStatus::kEmpty);
  RouteRequest request;
  request.header.request = 7;
  request.session = 99;
  request.key.assign("vhost/app/stream");
  CHECK(a.send(encode(request)) == SendStatus::kSent);
  Ready ready;
  CHECK(a.send(encode(ready)) == SendStatus::kSent);
  const Received first = b.receive();
  REQUIRE(first.status == ReceiveStatus::kMessage);
  RouteRequest out;
  REQUIRE(decode(first.bytes, out));
  CHECK(out.header.request == 7);
  CHECK(out.session == 99);
  CHECK(out.key.view() == "vhost/app/stream");
  const Received second = b.receive();
  Ready got;
  CHECK(decode(second.bytes, got));
}

TEST_CASE("what the socket does not take waits in order, up to the limit") {
  auto [a, b] = make();
  std::uint32_t sent = 0;
  SendStatus status = SendStatus::kSent;
  SessionClose close;
  Channel& sender = a;
  const auto send_next = [&](std::size_t limit) {
    close.session = sent;
    status = sender.send(encode(close), -1, limit);
    if (status == SendStatus::kSent || status == SendStatus::kQueued) ++sent;
  };
  while (status == SendStatus::kSent && sent < 1000000) send_next(10);
  CHECK(status == SendStatus::kQueued);
  while (status == SendStatus::kQueued) send_next(10);
  CHECK(status == SendStatus::kFull);
  CHECK(a.queued() == 10);
  CHECK_FALSE(a.flush());
  std::uint32_t received = 0;
  for (;;) {
    const Received message = b.receive();
    if (message.status == ReceiveStatus::kEmpty) {
      if (a.queued() == 0) break;
      a.flush();
      continue;
    }
    SessionClose out;
    REQUIRE(decode(message.bytes, out));
    CHECK(out.session == received);
    ++received;
  }
  CHECK(received == sent);
  CHECK(a.flush());
}

TEST_CASE("a descriptor travels with a message and is closed on exec") {
  auto [a, b] = make();
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  weir::UniqueFd read_end(ends[0]);
  weir::UniqueFd write_end(ends[1]);
  ReopenLog message;
  CHECK(a.send(encode(message), write_end.get()) == SendStatus::kSent);
  Received got = b.receive();
  REQUIRE(got.fd);
  CHECK((::fcntl(got.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(::write(got.fd.get(), "x", 1) == 1);
  char byte = 0;
  CHECK(::read(read_end.get(), &byte, 1) == 1);
}

TEST_CASE("a descriptor is not taken when the message would have to wait") {
  auto [a, b] = make();
  SessionClose filler;
  while (a.send(encode(filler)) == SendStatus::kSent) {
  }
  ReopenLog message;
  CHECK(a.send(encode(message), STDERR_FILENO) == SendStatus::kFull);
}

TEST_CASE("the end of the other side is seen by both directions") {
  auto [a, b] = make();
  { const Channel gone = std::move(b); }
  CHECK(a.receive().status == ReceiveStatus::kClosed);
  Ready ready;
  CHECK(a.send(encode(ready)) == SendStatus::kClosed);
  CHECK(a.flush());
}

TEST_CASE("a message that is too long is delivered without bytes") {
  auto [a, b] = make();
  const std::vector<std::uint8_t> big(weir::limits::kIpcMessageBytes + 1, 1);
  CHECK(a.send(ByteView(big)) == SendStatus::kSent);
  const Received got = b.receive();
  CHECK(got.status == ReceiveStatus::kMessage);
  CHECK(got.bytes.empty());
}
