// UdpRelay between a master that is played here and real sockets on the loopback: what it does with
// messages that come late, twice or without their descriptor, and what the end of a session costs.
#include "workers/core/udp_relay.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "ipc/channel.h"
#include "ipc/flow_writer.h"
#include "ipc/state_writer.h"

namespace {

using namespace weir;
using ipc::FlowRef;
using ipc::FlowStatus;

struct Protocol final : UdpProtocol {
  std::uint32_t client_id(ByteView) const override { return 0; }
  bool special(std::uint8_t) const override { return false; }
  bool inspect(const ClientPacket&, std::uint32_t) override { return false; }
  void on_stranger(const ClientPacket&) override {}
  std::uint8_t path_of(std::uint32_t, ByteView) override { return kNoPath; }
  bool to_tcp(std::uint32_t, ByteView) override { return false; }
  void on_begin(std::uint32_t) override { ++begun; }
  void on_end(std::uint32_t, const UdpEnd& end) override { ended.emplace_back(end.why); }
  void on_refused(std::uint32_t request, FlowStatus status) override {
    refused.emplace_back(request, status);
  }
  int begun = 0;
  std::vector<std::string> ended;
  std::vector<std::pair<std::uint32_t, FlowStatus>> refused;
};

constexpr UdpCounters kCounters{ipc::Counter::kRtcPacketsFromClients,
                                ipc::Counter::kRtcPacketsToClients,
                                ipc::Counter::kRtcBytesFromClients,
                                ipc::Counter::kRtcBytesToClients,
                                ipc::Counter::kRtcDropsUp,
                                ipc::Counter::kRtcDropsDown,
                                ipc::Counter::kRtcParked,
                                ipc::Counter::kRtcStrangers,
                                ipc::Counter::kRtcSessions,
                                ipc::Counter::kRtcClaims,
                                ipc::Counter::kRtcClaimsRefused,
                                ipc::Counter::kRtcTakeovers};

Endpoint client(std::uint16_t port) {
  Endpoint out = *parse_ip("198.51.100.7");
  out.port = port;
  return out;
}

template <typename T>
T checked(Result<T> result) {
  REQUIRE(result.has_value());
  return std::move(*result);
}

struct Bed {
  Bed()
      : base(event_base_new()),
        table(checked(ipc::FlowWriter::make(1024))),
        view(checked(ipc::FlowView::map(table.reader_fd()))),
        state(checked(ipc::StateWriter::make({4, 4}))),
        counters(state.counters().page(state.take_worker())),
        channels(checked(ipc::Channel::make_pair())),
        link(base.get(), channels.second.release(), ipc::WorkerKind::kRtc, counters,
             {[](ipc::MessageType, ByteView) {}, [](std::uint64_t) {}, [] {}}),
        relay(base.get(), {0, 30'000, false, kCounters}, protocol, link, view, counters, {}) {}

  FlowRef add(std::uint16_t port) {
    ipc::FlowRecord record;
    record.session = port;
    record.state = ipc::FlowState::kConnected;
    record.client = client(port);
    record.local = client(8000);
    record.origin_endpoint = client(9000);
    const std::uint32_t slot = table.add(record);
    return {slot, table.get(slot).generation};
  }
  void assign(FlowRef flow, bool with_socket = true, std::uint32_t request = 0) {
    ipc::FlowAssign message;
    message.header.request = request;
    message.status = FlowStatus::kOk;
    message.flow = flow;
    UniqueFd socket;
    if (with_socket) socket.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    relay.on_assign(message, std::move(socket));
  }
  // One that no event set takes.
  void assign_unwatchable(FlowRef flow) {
    ipc::FlowAssign message;
    message.status = FlowStatus::kOk;
    message.flow = flow;
    relay.on_assign(message, UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)));
  }
  std::uint32_t claim(FlowRef flow, std::uint16_t port) {
    ClientPacket packet;
    packet.key.address = client(port);
    packet.local = client(8000);
    return relay.claim(flow, packet);
  }
  std::uint64_t sessions() const { return counters.get(ipc::Counter::kRtcSessions); }
  // The next message of one type that the master has got; others are dropped.
  template <typename M>
  bool heard(M& out) {
    for (;;) {
      const ipc::Received received = channels.first.receive();
      if (received.status != ipc::ReceiveStatus::kMessage) return false;
      ipc::MessageHeader header;
      std::memcpy(&header, received.bytes.data(), sizeof header);
      if (header.type == M::kType) return ipc::decode(received.bytes, out);
    }
  }

  EventBasePtr base;
  ipc::FlowWriter table;
  ipc::FlowView view;
  ipc::StateWriter state;
  ipc::Counters counters;
  std::pair<ipc::Channel, ipc::Channel> channels;
  MasterLink link;
  Protocol protocol;
  UdpRelay relay;
};

}  // namespace

TEST_CASE("an assignment whose descriptor was lost is refused, and claimed anew") {
  Bed bed;
  const FlowRef flow = bed.add(4000);
  const std::uint32_t request = bed.claim(flow, 4000);
  REQUIRE(request != 0);
  ipc::FlowClaim claim;
  REQUIRE(bed.heard(claim));
  CHECK(claim.has_socket == 0);
  bed.assign(flow, false, request);
  CHECK(bed.protocol.refused == std::vector{std::pair(request, FlowStatus::kNoDescriptors)});
  CHECK(bed.relay.claims() == 0);
  CHECK(bed.sessions() == 0);
  const std::uint32_t again = bed.claim(flow, 4000);
  REQUIRE(again != 0);
  bed.assign(flow, true, again);
  CHECK(bed.relay.find(flow) != kNoFlow);
  const std::uint32_t index = bed.relay.find(flow);
  ClientPacket packet;
  packet.key.address = client(4001);
  packet.local = client(8000);
  bed.relay.move_client(index, bed.relay.flows().add_path(index, packet));
  REQUIRE((bed.heard(claim) && bed.heard(claim)));
  CHECK(claim.has_socket == 1);
  CHECK(bed.sessions() == 1);
}

TEST_CASE("a slot's next session is found though the end of the last one was never told") {
  Bed bed;
  const FlowRef old = bed.add(4000);
  bed.assign(old);
  bed.table.erase(old.slot);  // the master's FlowRelease was lost
  const FlowRef next = bed.add(4001);
  REQUIRE(next.slot == old.slot);
  bed.assign(next);
  CHECK(bed.relay.find(next) != kNoFlow);
  CHECK(bed.relay.find(old) == kNoFlow);
  CHECK(bed.relay.flows().size() == 1);
  CHECK(bed.sessions() == 1);
  CHECK(bed.protocol.ended.size() == 1);
  CHECK(bed.relay.find(ClientKey{client(4000), 0}) == kNoFlow);
  ipc::FlowRelease release;
  release.flow = old;
  bed.relay.on_release(release);  // after all
  CHECK(bed.relay.find(next) != kNoFlow);
  release.flow = next;
  bed.relay.on_release(release);
  CHECK(bed.relay.flows().size() == 0);
  CHECK(bed.sessions() == 0);
}

TEST_CASE("the end of a session tells its own counters, not everybody's") {
  Bed bed;
  std::vector<FlowRef> flows;
  for (std::uint16_t i = 0; i < 100; ++i) {
    flows.push_back(bed.add(static_cast<std::uint16_t>(4000 + i)));
    bed.assign(flows.back());
    bed.relay.flow(bed.relay.find(flows.back())).total.drops = i + 1U;
  }
  bed.relay.end(bed.relay.find(flows[7]), {ipc::FlowEndReason::kIdle, "client_silent"});
  ipc::FlowStats stats;
  REQUIRE(bed.heard(stats));
  CHECK(stats.row_count == 1);
  CHECK(stats.rows[0].flow == flows[7]);
  CHECK(stats.rows[0].since.drops == 8);
  ipc::FlowEnd end;
  REQUIRE(bed.heard(end));
  CHECK(end.flow == flows[7]);
  bed.relay.send_stats();
  std::size_t rows = 0;
  while (bed.heard(stats)) rows += stats.row_count;
  CHECK(rows == 99);
}

TEST_CASE("a session whose upstream socket the kernel does not watch ends alone, by name") {
  Bed bed;
  const FlowRef good = bed.add(4000);
  const FlowRef bad = bed.add(4001);
  bed.assign(good);
  bed.assign_unwatchable(bad);
  CHECK(bed.relay.flows().size() == 2);
  // The relay tries again with its next second.
  while (bed.protocol.ended.empty()) event_base_loop(bed.base.get(), EVLOOP_ONCE);
  CHECK(bed.relay.find(bad) == kNoFlow);
  CHECK(bed.relay.find(good) != kNoFlow);
  ipc::FlowEnd end;
  REQUIRE(bed.heard(end));
  CHECK(end.flow == bad);
}
