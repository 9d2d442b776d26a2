// The master's side of sessions: who may do what, who owns what, and what comes back after a
// restart. Workers are pages and what was sent to them; origins are real UDP sockets.
#include "common/net/tcp.h"
#include "supervisor/flows.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <map>
#include <set>

#include "common/base/clock.h"
#include "ipc/flow_reader.h"
#include "supervisor_registry_support.h"

namespace {

using namespace weir;
using namespace weir::ipc;

constexpr std::uint32_t kHttp = 1;
constexpr std::uint32_t kRtcA = 2;
constexpr std::uint32_t kRtcB = 3;
constexpr std::uint32_t kControl = 4;
constexpr std::uint32_t kSrt = 5;

struct Origin {
  Origin() : fd(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_storage a{};
    Endpoint loopback;
    loopback.family = Family::kIpv4;
    loopback.ip[0] = 127;
    loopback.ip[3] = 1;
    const socklen_t length = to_sockaddr(loopback, a);
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&a), length) == 0);
    at = net::local_address(fd.get());
  }
  // Who sent the next datagram; empty: there is none.
  Endpoint heard_from() const {
    char byte = 0;
    sockaddr_storage a{};
    socklen_t length = sizeof a;
    const ssize_t n = ::recvfrom(fd.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&a), &length);
    return n < 0 ? Endpoint{} : from_sockaddr(a);
  }
  UniqueFd fd;
  Endpoint at;
};

struct Sent {
  MessageType type;
  FlowCreated created;
  FlowAssign assign;
  FlowRelease release;
  FlowEnded ended;
  UniqueFd fd;
};

struct FlowRig {
  explicit FlowRig(std::uint32_t capacity = 64) : flows(make(capacity)) {
    auto message = test::Rig::registration("o", "1", 1935);
    message.endpoint_count[static_cast<std::size_t>(EndpointKind::kRtc)] = 1;
    message.endpoints[static_cast<std::size_t>(EndpointKind::kRtc)][0] = media.at;
    origin = base.registry.origins().register_origin(message, base.now).origin;
  }
  Flows make(std::uint32_t capacity) {
    auto table = FlowWriter::make(capacity);
    REQUIRE(table.has_value());
    auto view_of = FlowView::map(table->reader_fd());
    REQUIRE(view_of.has_value());
    views.push_back(std::move(*view_of));
    return {std::move(*table), base.registry,
            [this](std::uint32_t page, ByteView bytes, int fd) { return take(page, bytes, fd); }};
  }
  bool take(std::uint32_t page, ByteView bytes, int fd) {
    if (full.count(page) != 0) return false;
    Sent sent;
    MessageHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    sent.type = header.type;
    const bool known = decode(bytes, sent.created) || decode(bytes, sent.assign) ||
                       decode(bytes, sent.release) || decode(bytes, sent.ended) ||
                       header.type == MessageType::kServe;
    CHECK(known);
    if (fd >= 0) sent.fd.reset(::dup(fd));
    out[page].push_back(std::move(sent));
    return true;
  }
  template <typename M>
  void say(std::uint32_t page, WorkerKind kind, M message) {
    CHECK(may_send(kind, M::kType));
    CHECK(flows.on_message(page, kind, M::kType, encode(message), base.now));
  }
  Sent next(std::uint32_t page) {
    REQUIRE_FALSE(out[page].empty());
    Sent sent = std::move(out[page].front());
    out[page].pop_front();
    return sent;
  }
  bool silent(std::uint32_t page) { return out[page].empty(); }

  FlowCreate offer(SessionId id, SessionId group = 0) {
    FlowCreate m;
    m.session = id;
    m.group = group;
    m.origin = origin;
    m.origin_endpoint = media.at;
    m.signaller = test::Rig::endpoint(5555, 77);
    m.texts.set(FlowField::kUsername, "answ" + std::to_string(id) + ":offer");
    m.texts.set(FlowField::kPassword, std::string(24, 'p'));
    m.texts.set(FlowField::kKey, "v/a/s" + std::to_string(group != 0 ? group : id));
    m.texts.set(FlowField::kResource, "/whip/" + std::to_string(id));
    return m;
  }
  FlowCreated create(const FlowCreate& m) {
    say(kHttp, WorkerKind::kHttp, m);
    return next(kHttp).created;
  }
  FlowRef created(SessionId id, SessionId group = 0) {
    const FlowCreated answer = create(offer(id, group));
    REQUIRE(answer.status == FlowStatus::kOk);
    CHECK(answer.session == id);
    return answer.flow;
  }
  void serve(std::uint32_t page, unsigned slot, unsigned slots) {
    flows.worker_serves(page, WorkerKind::kRtc, slot, slots, base.now);
  }
  static FlowClaim from(FlowRef flow, std::uint16_t port) {
    FlowClaim m;
    m.header.request = port;
    m.flow = flow;
    m.client = test::Rig::endpoint(port, 50);
    m.local = test::Rig::endpoint(8000, 2);
    return m;
  }
  Sent claim(std::uint32_t page, FlowRef flow, std::uint16_t port) {
    say(page, WorkerKind::kRtc, from(flow, port));
    Sent sent = next(page);
    CHECK(sent.type == MessageType::kFlowAssign);
    CHECK(sent.assign.header.request == port);
    return sent;
  }
  void end(std::uint32_t page, WorkerKind kind, FlowRef flow, FlowEndReason reason) {
    FlowEnd m;
    m.flow = flow;
    m.reason = reason;
    say(page, kind, m);
  }
  void stats(std::uint32_t page, FlowRef flow, std::uint64_t packets) {
    FlowStats m;
    m.row_count = 1;
    m.rows[0].flow = flow;
    m.rows[0].since.packets_from_client = packets;
    m.rows[0].activity_ms = base.now + 1000000;  // later than now: cut
    say(page, WorkerKind::kRtc, m);
  }
  FlowRecord record(FlowRef flow) {
    FlowRecord r;
    REQUIRE(views.back().read(flow, r));
    return r;
  }
  bool exists(FlowRef flow) {
    FlowRecord r;
    return views.back().read(flow, r);
  }
  void pass(std::uint64_t ms) {
    base.now += ms;
    flows.tick(base.now);
  }
  std::uint32_t used() const {
    std::uint32_t sum = 0;
    for (const auto& kind : views.back().header().used) sum += kind[0].load() + kind[1].load();
    return sum;
  }

  Origin media;
  std::map<std::uint32_t, std::deque<Sent>> out;
  std::set<std::uint32_t> full;
  std::vector<FlowView> views;
  test::Rig base;
  OriginRef origin;
  Flows flows;
};

}  // namespace

TEST_CASE("a session is signalled, claimed, counted and ended") {
  FlowRig rig;
  FlowCreate offer = rig.offer(1);
  offer.role = Role::kPublisher;
  const FlowCreated created = rig.create(offer);
  REQUIRE(created.status == FlowStatus::kOk);
  CHECK(rig.record(created.flow).state == FlowState::kSignalled);
  CHECK(std::memcmp(rig.record(created.flow).token, created.token, 16) == 0);
  CHECK(rig.base.stream("v/a/s1").publishers == 1);
  CHECK(rig.base.origin(rig.origin).publishers == 1);

  CHECK(rig.claim(kRtcA, created.flow, 4000).assign.status ==
        FlowStatus::kStopping);  // no Serve yet
  rig.serve(kRtcA, 0, 1);
  CHECK(rig.next(kRtcA).type == MessageType::kServe);
  const Sent assigned = rig.claim(kRtcA, created.flow, 4000);
  REQUIRE(assigned.assign.status == FlowStatus::kOk);
  REQUIRE(static_cast<bool>(assigned.fd));
  const FlowRecord record = rig.record(created.flow);
  CHECK(record.state == FlowState::kConnected);
  CHECK(record.owner == kRtcA);
  CHECK(record.client.port == 4000);
  REQUIRE(::send(assigned.fd.get(), "x", 1, 0) == 1);
  CHECK(same_endpoint(rig.media.heard_from(), record.upstream_local));

  rig.stats(kRtcA, created.flow, 10);
  rig.stats(kRtcB, created.flow, 1000);  // not its own
  CHECK(rig.record(created.flow).counters.packets_from_client == 10);
  CHECK(rig.record(created.flow).activity_ms <= rig.base.now);
  rig.stats(kRtcA, created.flow, ~0ULL);
  CHECK(rig.record(created.flow).counters.packets_from_client == ~0ULL);

  // The client moves; the owner has the socket already.
  FlowClaim move = FlowRig::from(created.flow, 4001);
  move.has_socket = 1;
  rig.say(kRtcA, WorkerKind::kRtc, move);
  const Sent moved = rig.next(kRtcA);
  CHECK((moved.assign.status == FlowStatus::kOk && moved.assign.keep_socket && !moved.fd));
  // It had no descriptor left when the socket came, and asks for it again.
  const Sent again = rig.claim(kRtcA, created.flow, 4001);
  CHECK((again.assign.status == FlowStatus::kOk && !again.assign.keep_socket && again.fd));
  CHECK(rig.record(created.flow).client.port == 4001);

  rig.end(kRtcA, WorkerKind::kRtc, created.flow, FlowEndReason::kIdle);
  CHECK_FALSE(rig.exists(created.flow));
  CHECK(rig.silent(kRtcA));
  CHECK(rig.base.stream("v/a/s1").publishers == 0);
  CHECK(rig.base.origin(rig.origin).publishers == 0);
  CHECK(rig.used() == 0);
  CHECK(rig.claim(kRtcA, created.flow, 4000).assign.status == FlowStatus::kUnknown);
}

TEST_CASE("what a worker may not do changes nothing") {
  FlowRig rig;
  rig.serve(kRtcA, 0, 2);
  rig.serve(kRtcB, 1, 2);
  rig.next(kRtcA);
  rig.next(kRtcB);
  const FlowRef flow = rig.created(1);
  REQUIRE(rig.claim(kRtcA, flow, 4000).assign.status == FlowStatus::kOk);
  for (const FlowEndReason reason :
       {FlowEndReason::kIdle, FlowEndReason::kClosed, FlowEndReason::kRefused,
        FlowEndReason::kKicked, FlowEndReason::kDeleted, FlowEndReason::kMoved,
        FlowEndReason::kStopped, static_cast<FlowEndReason>(99)}) {
    rig.end(kRtcB, WorkerKind::kRtc, flow, reason);
    rig.end(kSrt, WorkerKind::kSrt, flow, reason);
    if (reason != FlowEndReason::kDeleted) rig.end(kHttp, WorkerKind::kHttp, flow, reason);
    if (reason != FlowEndReason::kKicked) rig.end(kControl, WorkerKind::kControl, flow, reason);
  }
  rig.end(kRtcA, WorkerKind::kRtc, {flow.slot, flow.generation + 1}, FlowEndReason::kIdle);
  rig.end(kRtcA, WorkerKind::kRtc, {kNoSlot, 1}, FlowEndReason::kIdle);
  CHECK(rig.exists(flow));

  FlowClaim bad = FlowRig::from(flow, 4002);
  bad.client = {};
  rig.say(kRtcA, WorkerKind::kRtc, bad);
  CHECK(rig.next(kRtcA).assign.status == FlowStatus::kInvalid);
  bad = FlowRig::from(flow, 4002);
  bad.transport = static_cast<FlowTransport>(9);
  rig.say(kRtcA, WorkerKind::kRtc, bad);
  CHECK(rig.next(kRtcA).assign.status == FlowStatus::kInvalid);
  rig.flows.worker_serves(kSrt, WorkerKind::kSrt, 0, 1, rig.base.now);
  rig.next(kSrt);
  rig.say(kSrt, WorkerKind::kSrt, FlowRig::from(flow, 4003));
  CHECK(rig.next(kSrt).assign.status == FlowStatus::kInvalid);
  CHECK(rig.record(flow).client.port == 4000);

  FlowCreate offer = rig.offer(2);
  offer.texts.length[0] = 60000;
  CHECK(rig.create(offer).status == FlowStatus::kInvalid);
  offer = rig.offer(2);
  offer.role = static_cast<Role>(7);
  CHECK(rig.create(offer).status == FlowStatus::kInvalid);
  offer = rig.offer(2);
  offer.kind = FlowKind::kSrt;
  CHECK(rig.create(offer).status == FlowStatus::kInvalid);
  offer = rig.offer(2);
  offer.origin.generation += 5;
  CHECK(rig.create(offer).status == FlowStatus::kNoOrigin);
  offer = rig.offer(2);
  offer.group = 12345;
  CHECK(rig.create(offer).status == FlowStatus::kInvalid);
  CHECK(rig.create(rig.offer(1)).status == FlowStatus::kDuplicate);
  offer = rig.offer(2);
  offer.texts.set(FlowField::kUsername, "answ1:offer");
  CHECK(rig.create(offer).status == FlowStatus::kDuplicate);
  CHECK_FALSE(rig.base.known("v/a/s2"));
  const std::uint8_t junk[8] = {};
  CHECK_FALSE(
      rig.flows.on_message(kRtcA, WorkerKind::kRtc, MessageType::kFlowClaim, junk, rig.base.now));
}

TEST_CASE("ownership moves with the client's packets") {
  FlowRig rig;
  rig.serve(kRtcA, 0, 2);
  rig.serve(kRtcB, 1, 2);
  rig.next(kRtcA);
  rig.next(kRtcB);
  const FlowRef flow = rig.created(1);
  const Sent first = rig.claim(kRtcA, flow, 4000);
  const Sent second = rig.claim(kRtcB, flow, 4001);
  CHECK((second.assign.status == FlowStatus::kOk && second.fd));
  const Sent released = rig.next(kRtcA);
  CHECK(released.type == MessageType::kFlowRelease);
  CHECK(released.release.reason == FlowEndReason::kMoved);
  CHECK(rig.record(flow).owner == kRtcB);
  // Both have the same socket, so the origin sees one client.
  REQUIRE(::send(first.fd.get(), "x", 1, 0) == 1);
  REQUIRE(::send(second.fd.get(), "x", 1, 0) == 1);
  CHECK(same_endpoint(rig.media.heard_from(), rig.media.heard_from()));
  rig.stats(kRtcA, flow, 5);  // what it counted before
  CHECK(rig.record(flow).counters.packets_from_client == 5);
  rig.end(kRtcA, WorkerKind::kRtc, flow, FlowEndReason::kIdle);
  CHECK(rig.exists(flow));
}

TEST_CASE("a session comes to another worker without its client") {
  FlowRig rig;
  for (const std::uint32_t page : {kRtcA, kRtcB}) {
    rig.serve(page, page - kRtcA, 2);
    rig.next(page);
  }
  const FlowRef flow = rig.created(1);
  FlowClaim spare = FlowRig::from(flow, 4001);
  spare.keep_client = 1;
  const auto status_of = [&] {
    rig.say(kRtcB, WorkerKind::kRtc, spare);
    return rig.next(kRtcB).assign.status;
  };
  CHECK(status_of() == FlowStatus::kInvalid);  // it has no client yet
  rig.claim(kRtcA, flow, 4000);
  CHECK(status_of() == FlowStatus::kOk);
  CHECK(rig.next(kRtcA).release.reason == FlowEndReason::kMoved);
  CHECK(rig.record(flow).owner == kRtcB);
  CHECK(rig.record(flow).client.port == 4000);
  CHECK(rig.claim(kRtcA, flow, 4000).fd);  // the client's packets bring it back
  rig.next(kRtcB);
  // A connection cannot leave its worker, and a worker that drains serves no UDP.
  FlowClaim connection = FlowRig::from(flow, 4002);
  connection.transport = FlowTransport::kTcp;
  rig.say(kRtcA, WorkerKind::kRtc, connection);
  rig.next(kRtcA);
  CHECK(status_of() == FlowStatus::kInvalid);
  rig.claim(kRtcA, flow, 4000);
  rig.flows.worker_drains(kRtcB, rig.base.now);
  spare.transport = FlowTransport::kTcp;
  CHECK(status_of() == FlowStatus::kStopping);
}

TEST_CASE("a used address belongs to the session that proved it last") {
  FlowRig rig;
  rig.serve(kRtcA, 0, 1);
  rig.next(kRtcA);
  const FlowRef old = rig.created(1);
  const FlowRef fresh = rig.created(2);
  rig.claim(kRtcA, old, 4000);
  rig.claim(kRtcA, fresh, 4000);
  FlowRecord out;
  const auto hit = rig.views.back().find_client(test::Rig::endpoint(4000, 50), out);
  REQUIRE(hit.has_value());
  CHECK(hit->flow == fresh);
  CHECK(rig.record(old).client.empty());
}

TEST_CASE("a worker's successor gets its sessions with their sockets") {
  FlowRig rig;
  rig.serve(kRtcA, 0, 2);
  rig.serve(kRtcB, 1, 2);
  rig.next(kRtcA);
  rig.next(kRtcB);
  const FlowRef on_a = rig.created(1);
  const FlowRef on_b = rig.created(2);
  rig.claim(kRtcA, on_a, 4000);
  rig.claim(kRtcB, on_b, 4001);

  SUBCASE("after a crash") {
    rig.flows.worker_gone(kRtcA, rig.base.now);
    CHECK(rig.record(on_a).owner == kNoSlot);
    CHECK(rig.silent(kRtcB));
    constexpr std::uint32_t kNew = 20;
    rig.serve(kNew, 0, 2);
    const Sent assigned = rig.next(kNew);
    CHECK((assigned.assign.flow == on_a && assigned.assign.header.request == 0 && assigned.fd));
    CHECK(rig.next(kNew).type == MessageType::kServe);
    CHECK(rig.record(on_a).owner == kNew);
    rig.stats(kRtcA, on_a, 5);  // of the process that is no more
    CHECK(rig.record(on_a).counters.packets_from_client == 0);
  }
  SUBCASE("in a reload to one slot") {
    rig.flows.worker_drains(kRtcA, rig.base.now);
    rig.flows.worker_drains(kRtcB, rig.base.now);
    constexpr std::uint32_t kNew = 20;
    rig.serve(kNew, 0, 1);
    CHECK(rig.next(kNew).assign.flow == on_a);
    CHECK(rig.next(kNew).assign.flow == on_b);
    rig.stats(kRtcB, on_b, 7);
    CHECK(rig.record(on_b).counters.packets_from_client == 7);
    CHECK(rig.claim(kRtcA, on_a, 4000).assign.status == FlowStatus::kStopping);
  }
  SUBCASE("even when its channel is full") {
    rig.flows.worker_gone(kRtcA, rig.base.now);
    constexpr std::uint32_t kNew = 20;
    rig.full.insert(kNew);
    rig.serve(kNew, 0, 2);
    CHECK(rig.silent(kNew));
    CHECK(rig.flows.next_timer_ms() != 0);
    rig.full.clear();
    // The retry goes by the real clock, which is behind ours on a machine that has just started.
    rig.base.now = std::max(rig.base.now, monotonic_ms()) + 100;
    rig.flows.tick(rig.base.now);
    const Sent assigned = rig.next(kNew);
    CHECK((assigned.assign.flow == on_a && assigned.fd));
    CHECK(rig.flows.next_timer_ms() == 0);
  }
  SUBCASE("or nobody, and then it ends") {
    rig.flows.worker_gone(kRtcA, rig.base.now);
    rig.pass(59000);
    CHECK(rig.exists(on_a));
    rig.pass(2000);
    CHECK_FALSE(rig.exists(on_a));
    CHECK(rig.exists(on_b));
  }
  SUBCASE("or its protocol is switched off") {
    rig.flows.worker_drains(kRtcA, rig.base.now);
    rig.flows.worker_drains(kRtcB, rig.base.now);
    rig.flows.kind_stopped(WorkerKind::kRtc, rig.base.now);
    CHECK(rig.used() == 0);
  }
}

TEST_CASE("a session that its owner never tells of ends, and one that it tells of stays") {
  FlowRig rig;
  rig.serve(kRtcA, 0, 1);
  rig.next(kRtcA);
  const FlowRef lost = rig.created(1);
  const FlowRef kept = rig.created(2);
  rig.claim(kRtcA, lost, 4000);
  rig.claim(kRtcA, kept, 4001);
  for (int second = 0; second < 300; ++second) {
    rig.pass(1000);
    if (second % 50 == 0) rig.stats(kRtcA, kept, 1);
    CHECK(rig.exists(kept));
    if (second < 100) CHECK(rig.exists(lost));
  }
  CHECK_FALSE(rig.exists(lost));
  const Sent told = rig.next(kRtcA);
  CHECK((told.type == MessageType::kFlowRelease && told.release.flow == lost));
  CHECK(told.release.reason == FlowEndReason::kIdle);
  CHECK(rig.base.stream("v/a/s1").players == 0);
  rig.pass(600'000);  // the master itself stood still
  rig.stats(kRtcA, kept, 1);
  for (int second = 0; second < 70; ++second) rig.pass(1000);
  CHECK(rig.exists(kept));
}

TEST_CASE("a session over TCP stays with its worker until that leaves") {
  FlowRig rig;
  rig.serve(kRtcA, 0, 1);
  rig.next(kRtcA);
  const FlowRef flow = rig.created(1);
  FlowClaim claim = FlowRig::from(flow, 4000);
  claim.transport = FlowTransport::kTcp;
  rig.say(kRtcA, WorkerKind::kRtc, claim);
  CHECK(rig.next(kRtcA).assign.status == FlowStatus::kOk);
  rig.flows.worker_drains(kRtcA, rig.base.now);
  CHECK(rig.record(flow).owner == kRtcA);
  rig.serve(kRtcB, 0, 1);
  CHECK(rig.next(kRtcB).type == MessageType::kServe);
  rig.flows.worker_gone(kRtcA, rig.base.now);
  CHECK(rig.next(kRtcB).assign.flow == flow);
}

TEST_CASE("whoever never comes is forgotten, ten thousand of them too") {
  FlowRig rig(10000);
  for (SessionId id = 1; id <= 10000; ++id) {
    if (id % 1000 == 0) rig.base.now += 300;  // within what one worker may ask for
    rig.created(id);
  }
  CHECK(rig.create(rig.offer(20000)).status == FlowStatus::kTableFull);
  CHECK_FALSE(rig.base.registry.sessions() == 0);
  rig.pass(20000);
  CHECK(rig.used() == 10000);
  rig.base.now += 20000;
  while (rig.flows.next_timer_ms() != 0) rig.flows.tick(rig.base.now);
  CHECK(rig.used() == 0);
  CHECK(rig.flows.sessions() == 0);
  CHECK(rig.base.registry.sessions() == 0);
  rig.created(30000);
}

TEST_CASE("limits by address, and of one worker's messages") {
  FlowRig rig;
  rig.base.config.rtc.max_sessions_per_address = 2;
  rig.base.apply();
  const FlowRef first = rig.created(1);
  rig.created(2);
  CHECK(rig.create(rig.offer(3)).status == FlowStatus::kAddressLimit);
  rig.end(kHttp, WorkerKind::kHttp, first, FlowEndReason::kDeleted);
  rig.created(3);
  FlowStatus status = FlowStatus::kOk;
  for (int i = 0; i < 9000 && status != FlowStatus::kBusy; ++i) {
    status = rig.create(rig.offer(3)).status;
  }
  CHECK(status == FlowStatus::kBusy);
  rig.base.now += 1000;
  CHECK(rig.create(rig.offer(3)).status == FlowStatus::kDuplicate);
}

TEST_CASE("a client that hops between addresses takes nothing from others") {
  FlowRig rig;
  rig.serve(kRtcA, 0, 1);
  rig.next(kRtcA);
  const FlowRef restless = rig.created(1);
  const FlowRef quiet = rig.created(2);
  int taken = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto port = static_cast<std::uint16_t>(4000 + i % 2);
    if (rig.claim(kRtcA, restless, port).assign.status == FlowStatus::kOk) ++taken;
  }
  CHECK(taken > 0);
  CHECK(taken < 100);
  CHECK(rig.claim(kRtcA, quiet, 5000).assign.status == FlowStatus::kOk);
  rig.base.now += 1000;
  CHECK(rig.claim(kRtcA, restless, 6000).assign.status == FlowStatus::kOk);
}

TEST_CASE("an ICE restart adds a pair, another one replaces the older") {
  FlowRig rig;
  const FlowRef flow = rig.created(1);
  FlowRecord out;
  for (const char* name : {"aaaa:bbbb", "cccc:dddd"}) {
    FlowCredentials m;
    m.flow = flow;
    m.texts.set(FlowField::kUsername, name);
    m.texts.set(FlowField::kPassword, std::string(30, name[0]));
    rig.say(kHttp, WorkerKind::kHttp, m);
    CHECK(rig.next(kHttp).created.status == FlowStatus::kOk);
    const auto hit = rig.views.back().find_username(name, out);
    REQUIRE(hit.has_value());
    CHECK(hit->which == 1);
    CHECK(out.get(FlowField::kSecondPassword) == std::string(30, name[0]));
  }
  CHECK(rig.views.back().find_username("aaaa:bbbb", out)->which == 0);
  CHECK_FALSE(rig.views.back().find_username("answ1:offer", out).has_value());
  CHECK(out.get(FlowField::kKey) == "v/a/s1");
  FlowCredentials bad;
  bad.flow = flow;
  rig.say(kHttp, WorkerKind::kHttp, bad);
  CHECK(rig.next(kHttp).created.status == FlowStatus::kInvalid);
}

TEST_CASE("what one signalling made ends together and counts once") {
  FlowRig rig;
  rig.serve(kRtcA, 0, 1);
  rig.next(kRtcA);
  const FlowRef audio = rig.created(1);
  const FlowRef video = rig.created(2, 1);
  CHECK(rig.base.stream("v/a/s1").players == 1);
  rig.claim(kRtcA, audio, 4000);
  rig.claim(kRtcA, video, 4001);
  rig.end(kRtcA, WorkerKind::kRtc, audio, FlowEndReason::kIdle);
  CHECK(rig.base.stream("v/a/s1").players == 1);
  CHECK(rig.exists(video));
  const FlowRef audio2 = rig.created(3);
  const FlowRef video2 = rig.created(4, 3);
  rig.claim(kRtcA, video2, 4002);
  rig.end(kControl, WorkerKind::kControl, audio2, FlowEndReason::kKicked);
  CHECK_FALSE(rig.exists(audio2));
  CHECK_FALSE(rig.exists(video2));
  CHECK(rig.next(kRtcA).release.reason == FlowEndReason::kKicked);
  rig.end(kHttp, WorkerKind::kHttp, video, FlowEndReason::kDeleted);
  CHECK(rig.next(kRtcA).release.flow == video);
  CHECK(rig.base.stream("v/a/s1").players == 0);
  CHECK(rig.base.registry.sessions() == 0);
}

TEST_CASE("what a dead SRT worker had not claimed yet is nobody's") {
  FlowRig rig;
  rig.flows.worker_serves(kSrt, WorkerKind::kSrt, 0, 1, rig.base.now);
  rig.next(kSrt);
  FlowCreate m = rig.offer(1);
  m.kind = FlowKind::kSrt;
  m.srt_caller_id = 7;
  for (const auto field : {FlowField::kUsername, FlowField::kPassword, FlowField::kResource}) {
    m.texts.set(field, "");
  }
  rig.say(kSrt, WorkerKind::kSrt, m);
  const FlowRef unclaimed = rig.next(kSrt).created.flow;
  m.session = 2;
  m.srt_caller_id = 8;
  rig.say(kSrt, WorkerKind::kSrt, m);
  const FlowRef claimed = rig.next(kSrt).created.flow;
  rig.say(kSrt, WorkerKind::kSrt, FlowRig::from(claimed, 4001));
  CHECK(rig.next(kSrt).assign.status == FlowStatus::kOk);
  rig.flows.worker_gone(kSrt, rig.base.now);
  CHECK_FALSE(rig.exists(unclaimed));
  CHECK(rig.exists(claimed));
}

TEST_CASE("control hears once of each signalling that has ended, when hooks want it") {
  FlowRig rig;
  const FlowRef unheard = rig.created(1);
  rig.end(kHttp, WorkerKind::kHttp, unheard, FlowEndReason::kDeleted);
  Config config;
  config.hooks.on_stop = "http://hooks/";
  rig.flows.apply(config);
  FlowCreate offer = rig.offer(2);
  offer.texts.set(FlowField::kParam, "?token=x");
  const FlowRef first = rig.create(offer).flow;
  const FlowRef second = rig.created(3, 2);
  FlowCreate publisher = rig.offer(4);
  publisher.role = Role::kPublisher;  // nobody asked for on_unpublish
  const FlowRef third = rig.create(publisher).flow;
  rig.serve(kRtcA, 0, 1);
  rig.next(kRtcA);
  rig.claim(kRtcA, first, 4001);
  rig.end(kRtcA, WorkerKind::kRtc, first, FlowEndReason::kIdle);
  rig.end(kHttp, WorkerKind::kHttp, third, FlowEndReason::kDeleted);
  CHECK(rig.silent(kControl));
  rig.end(kHttp, WorkerKind::kHttp, second, FlowEndReason::kDeleted);
  CHECK(rig.silent(kControl));  // there is none yet
  rig.flows.worker_serves(kControl, WorkerKind::kControl, 0, 1, rig.base.now);
  const Sent told = rig.next(kControl);
  REQUIRE(told.type == MessageType::kFlowEnded);
  CHECK(told.ended.session == 2);
  CHECK(told.ended.texts.get(FlowField::kKey) == "v/a/s2");
  CHECK(rig.silent(kControl));
  // What a channel has no room for waits, also for the next control worker.
  const FlowRef last = rig.create(rig.offer(5)).flow;
  rig.full.insert(kControl);
  rig.end(kHttp, WorkerKind::kHttp, last, FlowEndReason::kDeleted);
  rig.flows.worker_gone(kControl, rig.base.now);
  rig.full.clear();
  rig.pass(2000);
  CHECK(rig.silent(kControl));
  rig.flows.worker_serves(kControl, WorkerKind::kControl, 0, 1, rig.base.now);
  CHECK(rig.next(kControl).ended.session == 5);
  rig.created(6);
  rig.pass(60000);  // nobody came
  const Sent late = rig.next(kControl);
  CHECK(late.ended.session == 6);
  CHECK(late.ended.client.port == 0);  // as the signalling saw it
}

TEST_CASE("no descriptor left: this session is refused, the others stay") {
  FlowRig rig;
  rig.serve(kRtcA, 0, 1);
  rig.next(kRtcA);
  const FlowRef flow = rig.created(1);
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const UniqueFd lowest(::dup(0));
  const rlimit tight{static_cast<rlim_t>(lowest.get()), limit.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &tight) == 0);
  const FlowStatus status = rig.claim(kRtcA, flow, 4000).assign.status;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(status == FlowStatus::kNoDescriptors);
  CHECK(rig.record(flow).state == FlowState::kSignalled);
  CHECK(rig.claim(kRtcA, flow, 4000).assign.status == FlowStatus::kOk);
}

TEST_CASE("sessions of an earlier master go on from the same port") {
  FlowRig rig;
  rig.serve(kRtcA, 0, 1);
  rig.next(kRtcA);
  const FlowRef signalled = rig.created(1);
  const FlowRef flow = rig.created(2);
  Sent assigned = rig.claim(kRtcA, flow, 4000);
  SavedFlows saved;
  saved.flows = {{signalled.slot, rig.record(signalled)}, {flow.slot, rig.record(flow)}};
  saved.flows.push_back(saved.flows[1]);  // twice the same session
  const Endpoint port = saved.flows[1].record.upstream_local;

  SUBCASE("read from the file") {
    FlowRig next;
    // The same origin as the first service's.
    auto message = test::Rig::registration("o2", "1", 1936);
    message.endpoint_count[static_cast<std::size_t>(EndpointKind::kRtc)] = 1;
    message.endpoints[static_cast<std::size_t>(EndpointKind::kRtc)][0] = rig.media.at;
    next.flows.restore(saved, next.base.now);  // the old service's socket is still there
    CHECK(next.used() == 2);
    next.serve(kRtcB, 0, 1);
    CHECK(next.next(kRtcB).type == MessageType::kServe);
    CHECK(next.silent(kRtcB));
    CHECK(next.claim(kRtcB, flow, 4000).assign.status == FlowStatus::kBusy);
    rig.end(kRtcA, WorkerKind::kRtc, flow, FlowEndReason::kIdle);
    assigned.fd.reset();
    next.pass(100);
    const Sent again = next.next(kRtcB);
    CHECK((again.assign.flow == flow && again.fd));
    REQUIRE(::send(again.fd.get(), "x", 1, 0) == 1);
    CHECK(same_endpoint(rig.media.heard_from(), port));
    // Its origin is known by its next registration.
    CHECK(next.record(flow).origin.slot == kNoSlot);
    const OriginRef origin =
        next.base.registry.origins().register_origin(message, next.base.now).origin;
    next.pass(1000);
    CHECK(next.record(flow).origin == origin);
    CHECK(next.base.stream("v/a/s2").players == 1);
    // The one that nobody claimed may still be claimed.
    CHECK(next.claim(kRtcB, signalled, 4001).assign.status == FlowStatus::kOk);
  }
  SUBCASE("its port taken by another for good") {
    FlowRig next;
    next.flows.restore(saved, next.base.now);
    next.pass(1000);
    CHECK(next.exists(flow));
    next.pass(3000);
    CHECK_FALSE(next.exists(flow));
    CHECK(next.exists(signalled));
  }
  SUBCASE("handed over by the old master") {
    auto pair = Channel::make_pair();
    REQUIRE(pair.has_value());
    FlowRig next;
    next.flows.expect_adoption();
    next.serve(kRtcB, 0, 1);
    CHECK(next.silent(kRtcB));
    next.say(kHttp, WorkerKind::kHttp, next.offer(9));
    CHECK(next.silent(kHttp));
    rig.flows.freeze();
    CHECK(rig.create(rig.offer(10)).status == FlowStatus::kStopping);
    std::uint32_t cursor = 0;
    REQUIRE(rig.flows.hand_over(pair->first, cursor, rig.base.now));
    CHECK(rig.base.registry.sessions() == 0);  // they count at the new one
    for (std::size_t i = 0; i < 2; ++i) {
      Received received = pair->second.receive();
      REQUIRE(received.status == ReceiveStatus::kMessage);
      // The record stands last in the message, its slot third.
      std::uint32_t slot = 0;
      FlowRecord record;
      std::memcpy(&slot, received.bytes.data() + 8, sizeof slot);
      std::memcpy(static_cast<void*>(&record),
                  received.bytes.data() + received.bytes.size() - sizeof record, sizeof record);
      next.flows.adopt(slot, record, std::move(received.fd), next.base.now);
    }
    next.flows.finish_adoption(next.base.now);
    const Sent again = next.next(kRtcB);
    CHECK((again.assign.flow == flow && again.fd));
    CHECK(next.next(kRtcB).type == MessageType::kServe);
    CHECK(next.next(kHttp).created.status == FlowStatus::kOk);
    REQUIRE(::send(again.fd.get(), "x", 1, 0) == 1);
    CHECK(same_endpoint(rig.media.heard_from(), port));
  }
}
