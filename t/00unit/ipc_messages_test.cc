#include "ipc/messages.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "ipc/flow_messages.h"

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
  check_bounds(ProbeNow{});
  check_bounds(OriginRegister{});
  check_bounds(OriginCommand{});
  check_bounds(RouteAnswer{});
  check_bounds(Reply{});
  check_bounds(Drain{});
  check_bounds(Quit{});
  check_bounds(ReopenLog{});
  check_bounds(SessionEnd{});
  check_bounds(FlowCreate{});
  check_bounds(FlowCreated{});
  check_bounds(FlowCredentials{});
  check_bounds(FlowClaim{});
  check_bounds(FlowAssign{});
  check_bounds(FlowRelease{});
  check_bounds(FlowStats{});
  check_bounds(FlowEnd{});
  check_bounds(Serve{});
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

TEST_CASE("rows travel as far as they are used, and a count that lies is refused") {
  FlowStats stats;
  stats.row_count = 3;
  stats.rows[2].since.drops = 7;
  const ByteView bytes = encode(stats);
  CHECK(bytes.size() == offsetof(FlowStats, rows) + 3 * sizeof(FlowStatsRow));
  FlowStats out;
  REQUIRE(decode(bytes, out));
  CHECK(out.rows[2].since.drops == 7);
  constexpr std::uint64_t kWrapping =
      (std::uint64_t{1} << 58) + 3;  // times 64: as many bytes as there are
  for (const std::uint64_t lie :
       {std::uint64_t{0}, std::uint64_t{4}, kWrapping, ~std::uint64_t{0}}) {
    std::vector<std::uint8_t> copy(bytes.begin(), bytes.end());
    std::memcpy(copy.data() + offsetof(FlowStats, row_count), &lie, sizeof lie);
    CHECK_FALSE(decode(ByteView(copy), out));
  }
}

TEST_CASE("the texts of a flow share their store") {
  FlowText text;
  CHECK(text.set(FlowField::kUsername, "abcd:efgh"));
  CHECK(text.set(FlowField::kResource, "/whip/1"));
  CHECK(text.set(FlowField::kPassword, std::string(256, 'p')));
  CHECK(text.set(FlowField::kKey, "v/a/s"));
  CHECK(text.get(FlowField::kUsername) == "abcd:efgh");
  CHECK(text.get(FlowField::kPassword) == std::string(256, 'p'));
  CHECK(text.get(FlowField::kSecondUsername).empty());
  CHECK(text.get(FlowField::kResource) == "/whip/1");
  const std::size_t used = text.used();
  CHECK_FALSE(text.set(FlowField::kSecondUsername, std::string(sizeof text.bytes - used + 1, 'x')));
  CHECK(text.used() == used);
  CHECK(text.set(FlowField::kSecondUsername, std::string(sizeof text.bytes - used, 'x')));
  CHECK(text.set(FlowField::kPassword, "short"));
  CHECK(text.get(FlowField::kKey) == "v/a/s");
  text.length[0] = 65535;
  CHECK_FALSE(text.valid());
  CHECK_FALSE(text.set(FlowField::kKey, ""));
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
    for (const T from_master : {T::kRouteAnswer, T::kReply, T::kDrain, T::kQuit, T::kReopenLog,
                                T::kSessionEnd, T::kProbeNow}) {
      CHECK_FALSE(may_send(kind, from_master));
    }
    const bool control = kind == K::kControl;
    CHECK(may_send(kind, T::kOriginRegister) == control);
    CHECK(may_send(kind, T::kOriginCommand) == control);
    CHECK(may_send(kind, T::kRouteRequest) == !control);
    CHECK(may_send(kind, T::kSessionOpen) == !control);
    CHECK(may_send(kind, T::kDialResult) == !control);
    CHECK(may_send(kind, T::kProbeResult) == control);
  }
  for (const K kind : {K::kControl, K::kRtmp, K::kHttp, K::kRtc, K::kSrt}) {
    for (const T from_master : {T::kServe, T::kFlowCreated, T::kFlowAssign, T::kFlowRelease}) {
      CHECK_FALSE(may_send(kind, from_master));
    }
    const bool udp = kind == K::kRtc || kind == K::kSrt;
    CHECK(may_send(kind, T::kFlowCreate) == (kind == K::kHttp || kind == K::kSrt));
    CHECK(may_send(kind, T::kFlowCredentials) == (kind == K::kHttp));
    CHECK(may_send(kind, T::kFlowClaim) == udp);
    CHECK(may_send(kind, T::kFlowStats) == udp);
    CHECK(may_send(kind, T::kFlowEnd) == (kind != K::kRtmp));
  }
  CHECK(find_rule(static_cast<T>(999)) == nullptr);
  CHECK_FALSE(may_send(K::kRtmp, static_cast<T>(999)));
  CHECK(find_rule(T::kRouteRequest)->name == "route_request");
}
