#include "ipc/messages.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

using namespace weir::ipc;
using weir::ByteView;

template <typename M>
void check_bounds(M message) {
  const ByteView bytes = encode(message);
  CHECK(bytes.size() <= weir::limits::kIpcMessageBytes);
  M out;
  CHECK(decode(bytes, out));
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) CHECK_FALSE(decode(bytes.first(cut), out));
  std::vector<std::uint8_t> longer(bytes.begin(), bytes.end());
  longer.push_back(0);
  CHECK_FALSE(decode(ByteView(longer), out));
  std::vector<std::uint8_t> other(bytes.begin(), bytes.end());
  other[0] ^= 0x20;
  CHECK_FALSE(decode(ByteView(other), out));
}

}  // namespace

TEST_CASE("every message decodes from exactly its own bytes") {
  check_bounds(Ready{});
  check_bounds(RouteRequest{});
  check_bounds(SessionOpen{});
  check_bounds(SessionClose{});
  check_bounds(DialResult{});
  check_bounds(ProbeResult{});
  check_bounds(OriginRegister{});
  check_bounds(OriginCommand{});
  check_bounds(RouteAnswer{});
  check_bounds(Reply{});
  check_bounds(Drain{});
  check_bounds(Quit{});
  check_bounds(ReopenLog{});
  check_bounds(SessionEnd{});
  RouteRequest request;
  request.key.assign("v/a/s");
  check_bounds(request);
}

TEST_CASE("a length that lies is refused") {
  RouteRequest request;
  request.key.assign("v/a/s");
  const ByteView bytes = encode(request);
  constexpr std::uint16_t kLies[] = {0, 4, 6, 512, 65535};
  for (const std::uint16_t lie : kLies) {
    std::vector<std::uint8_t> copy(bytes.begin(), bytes.end());
    std::memcpy(copy.data() + offsetof(RouteRequest, key), &lie, sizeof lie);
    RouteRequest out;
    CHECK_FALSE(decode(ByteView(copy), out));
  }
}

TEST_CASE("a tail keeps what fits") {
  KeyTail tail;
  tail.assign(std::string(600, 'x'));
  CHECK(tail.view().size() == 512);
  Tail<4> small;
  small.assign("ab");
  CHECK(small.view() == "ab");
}

TEST_CASE("who may send what") {
  using K = WorkerKind;
  using T = MessageType;
  for (const K kind : {K::kControl, K::kRtmp, K::kHttp, K::kRtc, K::kSrt}) {
    CHECK(may_send(kind, T::kReady));
    for (const T from_master :
         {T::kRouteAnswer, T::kReply, T::kDrain, T::kQuit, T::kReopenLog, T::kSessionEnd}) {
      CHECK_FALSE(may_send(kind, from_master));
    }
    const bool control = kind == K::kControl;
    CHECK(may_send(kind, T::kOriginRegister) == control);
    CHECK(may_send(kind, T::kOriginCommand) == control);
    CHECK(may_send(kind, T::kRouteRequest) == !control);
    CHECK(may_send(kind, T::kSessionOpen) == !control);
    CHECK(may_send(kind, T::kDialResult) == !control);
  }
  CHECK(find_rule(static_cast<T>(999)) == nullptr);
  CHECK_FALSE(may_send(K::kRtmp, static_cast<T>(999)));
  CHECK(find_rule(T::kRouteRequest)->name == "route_request");
}
