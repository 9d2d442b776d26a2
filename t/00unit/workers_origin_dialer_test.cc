// OriginDialer between a master that is played here and real listeners on the loopback: who is
// asked in which order, what is reported, and that nothing is left behind.
#include "common/net/tcp.h"
#include "workers/core/origin_dialer.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "ipc/channel.h"
#include "ipc/state_writer.h"
#include "workers/core/poller.h"

namespace {

using namespace weir;
using ipc::DialOutcome;
using ipc::EndpointKind;
using State = OriginDialer::Step::State;
using End = OriginDialer::End;

template <typename T>
T checked(Result<T> result) {
  REQUIRE(result.has_value());
  return std::move(*result);
}

// A loopback port; with `listen` somebody takes connections there, and never says a word.
struct Port {
  explicit Port(bool listens) : fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    sockaddr_storage address{};
    Endpoint any = *parse_ip("127.0.0.1");
    const socklen_t length = to_sockaddr(any, address);
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0);
    at = net::local_address(fd.get());
    if (listens) REQUIRE(::listen(fd.get(), 16) == 0);
  }
  // The bytes of the next connection, once it has sent some.
  std::string first_bytes() const {
    const UniqueFd peer(::accept(fd.get(), nullptr, nullptr));
    std::array<char, 256> bytes{};
    const ssize_t count = ::recv(peer.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    return {bytes.data(), count > 0 ? static_cast<std::size_t>(count) : 0};
  }
  UniqueFd fd;
  Endpoint at;
};

constexpr DialCounters kCounters{ipc::Counter::kRtmpDials,         ipc::Counter::kRtmpDialRetries,
                                 ipc::Counter::kRtmpDialRefused,   ipc::Counter::kRtmpDialTimeout,
                                 ipc::Counter::kRtmpDialHandshake, ipc::Counter::kRtmpDialTls,
                                 ipc::Counter::kRtmpDialOther};

struct Bed {
  Bed()
      : base(event_base_new()),
        state(checked(ipc::StateWriter::make({8, 8}))),
        view(checked(ipc::StateView::map(state.state_fd()))),
        counters(state.counters().page(state.take_worker())),
        channels(checked(ipc::Channel::make_pair())),
        link(base.get(), channels.second.release(), ipc::WorkerKind::kRtmp, counters,
             {[this](ipc::MessageType type, ByteView bytes) {
                ipc::RouteAnswer answer;
                if (type == ipc::MessageType::kRouteAnswer && ipc::decode(bytes, answer)) {
                  known_answers += dialer.on_route_answer(answer) ? 1 : 0;
                }
              },
              [](std::uint64_t) {}, [] {}}),
        poller(base.get(), 0,
               [this](std::uint64_t owner, std::uint32_t events) {
                 if (open.count(owner) == 0) note(owner, dialer.on_ready(tickets[owner], events));
               }),
        tls(config),
        dialer(base.get(), settings(), view, link, counters, tls,
               {[this](std::uint64_t owner, int fd) { return poller.add(fd, kSideEvents, owner); },
                [this](std::uint64_t owner, const OriginDialer::Step& step) { note(owner, step); },
                [this](std::uint64_t, const Endpoint& to, Side& into) {
                  pool_asked.push_back(to);
                  if (!pooled.fd) return false;
                  into = std::move(pooled);
                  return true;
                }}) {}

  static OriginDialer::Settings settings() { return {EndpointKind::kRtmp, 3, 400, {}, kCounters}; }
  ipc::OriginRef origin(const std::vector<Endpoint>& at, std::uint8_t proxy = 0) {
    ipc::OriginRecord record;
    const std::uint32_t slot = state.take_origin(record.generation);
    record.state = ipc::OriginState::kUp;
    record.proxy_protocol = proxy;
    const auto kind = static_cast<std::size_t>(EndpointKind::kRtmp);
    record.endpoint_count[kind] = static_cast<std::uint8_t>(at.size());
    std::copy(at.begin(), at.end(), record.endpoints[kind]);
    state.put_origin(slot, record);
    state.header().origins_used.fetch_add(1);
    return {slot, record.generation};
  }
  void stream(const std::string& key, ipc::OriginRef at) {
    ipc::StreamRecord record;
    record.origin_slot = at.slot;
    record.origin_generation = at.generation;
    state.add_stream(key, record);
  }
  OriginDialer::Want want(std::uint64_t owner) const {
    OriginDialer::Want out;
    out.owner = owner;
    out.key = "v/a/s";
    out.client = *parse_ip("198.51.100.7");
    return out;
  }
  OriginDialer::Step start(const OriginDialer::Want& wanted) {
    const std::uint64_t owner = wanted.owner;
    const OriginDialer::Started started = dialer.start(wanted);
    tickets[owner] = started.ticket;
    note(owner, started.step);
    return started.step;
  }
  void note(std::uint64_t owner, const OriginDialer::Step& step) {
    last[owner] = step;
    if (step.state == State::kOpen) open[owner] = dialer.take(tickets[owner]);
  }
  // Turns the loop until that dial has come to an end; the master answers with these in turn.
  void settle(std::uint64_t owner, std::vector<ipc::RouteAnswer> answers = {}) {
    const std::uint64_t limit = monotonic_ms() + 5000;
    std::size_t next = 0;
    while (last[owner].state == State::kWaiting && monotonic_ms() < limit) {
      event_base_loop(base.get(), EVLOOP_ONCE | EVLOOP_NONBLOCK);
      listen(answers, next);
    }
    listen(answers, next);
  }
  void listen(std::vector<ipc::RouteAnswer>& answers, std::size_t& next) {
    for (;;) {
      const ipc::Received received = channels.first.receive();
      if (received.status != ipc::ReceiveStatus::kMessage) return;
      ipc::RouteRequest request;
      ipc::DialResult result;
      if (ipc::decode(received.bytes, request)) {
        requests.push_back(request);
        if (next >= answers.size()) continue;
        answers[next].header.request = request.header.request;
        channels.first.send(ipc::encode(answers[next++]));
      } else if (ipc::decode(received.bytes, result)) {
        reports.push_back(result);
      }
    }
  }
  static ipc::RouteAnswer to(ipc::OriginRef origin) {
    ipc::RouteAnswer out;
    out.status = ipc::RouteStatus::kOk;
    out.origin = origin;
    return out;
  }

  Config config;
  EventBasePtr base;
  ipc::StateWriter state;
  ipc::StateView view;
  ipc::Counters counters;
  std::pair<ipc::Channel, ipc::Channel> channels;
  MasterLink link;
  Poller poller;
  OriginTls tls;
  Side pooled;
  std::vector<Endpoint> pool_asked;
  int known_answers = 0;
  std::map<std::uint64_t, OriginDialer::Ticket> tickets;
  std::map<std::uint64_t, OriginDialer::Step> last;
  std::map<std::uint64_t, Side> open;
  std::vector<ipc::RouteRequest> requests;
  std::vector<ipc::DialResult> reports;
  OriginDialer dialer;
};

}  // namespace

TEST_CASE("a known stream's origin is dialled without a question, and nothing is left") {
  Bed bed;
  const Port port(true);
  const ipc::OriginRef origin = bed.origin({port.at});
  bed.stream("v/a/s", origin);
  CHECK(bed.start(bed.want(1)).state == State::kWaiting);
  bed.settle(1);
  REQUIRE(bed.last[1].state == State::kOpen);
  CHECK(bed.last[1].origin == origin);
  CHECK(bed.last[1].endpoint == port.at);
  CHECK(bed.open[1].fd);
  CHECK(bed.requests.empty());
  CHECK(bed.reports.empty());
  CHECK(bed.dialer.size() == 1);
  bed.dialer.close(bed.tickets[1]);
  bed.dialer.close(bed.tickets[1]);  // twice does no harm
  CHECK(bed.dialer.size() == 0);
  CHECK(bed.counters.get(ipc::Counter::kRtmpDials) == 1);
}

TEST_CASE(
    "a dead address is followed by the next one of the same origin, and not held against it") {
  Bed bed;
  const Port dead(false);
  const Port alive(true);
  bed.stream("v/a/s", bed.origin({dead.at, dead.at, alive.at}));
  bed.start(bed.want(1));
  bed.settle(1);
  CHECK(bed.last[1].state == State::kOpen);
  CHECK(bed.last[1].endpoint == alive.at);
  CHECK(bed.reports.empty());
  CHECK(bed.counters.get(ipc::Counter::kRtmpDialRefused) == 2);
}

TEST_CASE("a dead origin is reported once, and the master names the next one") {
  Bed bed;
  const Port dead(false);
  const Port alive(true);
  const ipc::OriginRef bad = bed.origin({dead.at, dead.at});
  const ipc::OriginRef good = bed.origin({alive.at});
  bed.stream("v/a/s", bad);
  bed.start(bed.want(1));
  bed.settle(1, {Bed::to(good)});
  CHECK(bed.last[1].state == State::kOpen);
  CHECK(bed.last[1].origin == good);
  REQUIRE(bed.reports.size() == 1);
  CHECK(bed.reports[0].origin == bad);
  CHECK(bed.reports[0].endpoint == EndpointKind::kRtmp);
  CHECK(bed.reports[0].outcome == DialOutcome::kRefused);
  REQUIRE(bed.requests.size() == 1);
  CHECK(bed.requests[0].failed_count == 1);
  CHECK(bed.requests[0].failed[0] == bad);
}

TEST_CASE("the number of origins for one client is bounded") {
  Bed bed;
  const Port dead(false);
  std::vector<ipc::RouteAnswer> answers;
  for (int i = 0; i < 5; ++i) answers.push_back(Bed::to(bed.origin({dead.at})));
  bed.start(bed.want(1));
  bed.settle(1, answers);
  CHECK(bed.last[1].state == State::kFailed);
  CHECK(bed.last[1].end == End::kUnreachable);
  CHECK(bed.reports.size() == 3);
  CHECK(bed.requests.size() == 3);
  CHECK(bed.dialer.size() == 0);
}

TEST_CASE("a silent origin ends at the time limit, whoever else dials meanwhile") {
  Bed bed;
  Port silent(true);
  silent.at.scheme = Scheme::kRtmps;  // takes the connection, and never says a word of TLS
  const Port alive(true);
  OriginDialer::Want wanted = bed.want(1);
  wanted.known = bed.origin({silent.at});
  wanted.only_known = true;
  bed.stream("v/a/s", bed.origin({alive.at}));
  const std::uint64_t began = monotonic_ms();
  bed.start(wanted);
  for (std::uint64_t owner = 2; bed.last[1].state == State::kWaiting; ++owner) {
    REQUIRE(monotonic_ms() - began < 5000);
    bed.start(bed.want(owner));
    bed.settle(owner);
    REQUIRE(bed.last[owner].state == State::kOpen);
    static_cast<void>(alive.first_bytes());  // takes it off the queue
    bed.dialer.close(bed.tickets[owner]);
    bed.open.erase(owner);
    event_base_loop(bed.base.get(), EVLOOP_ONCE | EVLOOP_NONBLOCK);
  }
  std::vector<ipc::RouteAnswer> none;
  std::size_t next = 0;
  bed.listen(none, next);
  CHECK(bed.last[1].end == End::kTimeout);
  CHECK(monotonic_ms() - began >= 400);
  REQUIRE(bed.reports.size() == 1);
  CHECK(bed.reports[0].outcome == DialOutcome::kTimeout);
}

TEST_CASE("no answer of the master, a refusal, and a client that leaves before it") {
  Bed bed;
  bed.start(bed.want(1));
  ipc::RouteAnswer no;
  no.status = ipc::RouteStatus::kStreamElsewhere;
  bed.settle(1, {no});
  CHECK(bed.last[1].end == End::kNoOrigin);
  CHECK(bed.last[1].status == ipc::RouteStatus::kStreamElsewhere);

  bed.start(bed.want(2));
  bed.dialer.close(bed.tickets[2]);
  CHECK(bed.dialer.size() == 0);
  bed.last[2] = {};
  std::vector<ipc::RouteAnswer> late{no};
  std::size_t next = 0;
  bed.listen(late, next);
  event_base_loop(bed.base.get(), EVLOOP_ONCE | EVLOOP_NONBLOCK);
  CHECK(bed.last[2].state == State::kWaiting);  // nobody was told
  CHECK(bed.known_answers == 1);

  bed.start(bed.want(3));
  bed.settle(3);
  CHECK(bed.last[3].end == End::kMasterSilent);
}

TEST_CASE("a pooled connection that was closed costs one new connection to the same origin") {
  Bed bed;
  const Port port(true);
  const ipc::OriginRef origin = bed.origin({port.at});
  bed.stream("v/a/s", origin);
  OriginDialer::Want wanted = bed.want(1);
  wanted.reuse = true;
  bed.pooled.fd.reset(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  CHECK(bed.start(wanted).state == State::kOpen);
  CHECK_FALSE(bed.pooled.fd);  // it has it
  bed.open.erase(1);
  bed.note(1, bed.dialer.retry(bed.tickets[1], {DialOutcome::kHandshake, "closed"}));
  bed.settle(1);
  CHECK(bed.last[1].state == State::kOpen);
  CHECK(bed.pool_asked.size() == 1);
  CHECK(bed.reports.empty());
  CHECK(bed.requests.empty());
}

TEST_CASE("closed before the first byte: the next origin, unless it cannot serve the client") {
  Bed bed;
  const Port one(true);
  const Port two(true);
  const ipc::OriginRef first = bed.origin({one.at});
  const ipc::OriginRef second = bed.origin({two.at});
  bed.stream("v/a/s", first);
  for (const bool can_move : {true, false}) {
    bed.start(bed.want(1));
    bed.settle(1);
    REQUIRE(bed.last[1].state == State::kOpen);
    bed.open.erase(1);
    bed.note(
        1, bed.dialer.retry(bed.tickets[1], {DialOutcome::kHandshake, "closed", false, can_move}));
    bed.settle(1, {Bed::to(second)});
    CHECK(bed.last[1].state == (can_move ? State::kOpen : State::kFailed));
    bed.dialer.close(bed.tickets[1]);
    bed.open.erase(1);
  }
  CHECK(bed.reports.size() == 2);
  CHECK(bed.dialer.size() == 0);
}

TEST_CASE("an origin that wants a PROXY header gets the client's, and never a pooled connection") {
  Bed bed;
  const Port port(true);
  bed.stream("v/a/s", bed.origin({port.at}, 1));
  OriginDialer::Want wanted = bed.want(1);
  wanted.reuse = true;
  wanted.client.port = 5555;
  const Port listener(true);
  wanted.client_fd = listener.fd.get();
  bed.start(wanted);
  bed.settle(1);
  REQUIRE(bed.last[1].state == State::kOpen);
  CHECK(bed.last[1].proxied);
  CHECK(bed.pool_asked.empty());
  std::size_t moved = 0;
  CHECK(bed.open[1].flush(moved) == IoStatus::kOk);
  CHECK(port.first_bytes() ==
        "PROXY TCP4 198.51.100.7 127.0.0.1 5555 " + std::to_string(listener.at.port) + "\r\n");
}

TEST_CASE("an origin that has left counts for nothing, and the master is asked") {
  Bed bed;
  const Port port(true);
  const ipc::OriginRef good = bed.origin({port.at});
  OriginDialer::Want wanted = bed.want(1);
  wanted.known = ipc::OriginRef{7, 3};
  bed.start(wanted);
  bed.settle(1, {Bed::to(good)});
  CHECK(bed.last[1].origin == good);
  CHECK(bed.last[1].state == State::kOpen);
  CHECK(bed.reports.empty());
}

TEST_CASE("where only the known will do the master is not asked") {
  Bed bed;
  OriginDialer::Want wanted = bed.want(1);
  wanted.only_known = true;
  CHECK(bed.start(wanted).end == End::kNoOrigin);
  CHECK(bed.tickets[1] == 0);
  CHECK(bed.last[1].origin == ipc::OriginRef{});
  const Port dead(false);
  const ipc::OriginRef origin = bed.origin({dead.at});
  bed.stream("v/a/s", origin);
  bed.start(wanted);
  bed.settle(1);
  CHECK(bed.last[1].end == End::kUnreachable);
  CHECK(bed.last[1].origin == origin);
  CHECK(bed.requests.empty());
  CHECK(bed.reports.size() == 1);
  CHECK(bed.dialer.size() == 0);
}

TEST_CASE("what may have been this client's own fault is counted and not reported") {
  Bed bed;
  const Port one(true);
  const Port two(true);
  bed.stream("v/a/s", bed.origin({one.at}));
  bed.start(bed.want(1));
  CHECK(bed.dialer.descriptor(bed.tickets[1]) >= 0);
  bed.settle(1);
  REQUIRE(bed.last[1].state == State::kOpen);
  CHECK(bed.dialer.descriptor(bed.tickets[1]) == -1);  // it was taken
  bed.open.erase(1);
  bed.note(1, bed.dialer.retry(bed.tickets[1], {DialOutcome::kHandshake, "closed", true}));
  bed.settle(1, {Bed::to(bed.origin({two.at}))});
  CHECK(bed.last[1].state == State::kOpen);
  CHECK(bed.reports.empty());
  CHECK(bed.counters.get(ipc::Counter::kRtmpDialHandshake) == 1);
  CHECK(bed.counters.get(ipc::Counter::kRtmpDialRetries) == 1);
}

TEST_CASE("a place of the table is as new for the next client") {
  Bed bed;
  const Port alive(true);
  OriginDialer::Want wanted = bed.want(1);
  wanted.known = bed.origin({alive.at});
  wanted.endpoint = alive.at;
  bed.start(wanted);  // leaves while it is connecting
  const OriginDialer::Ticket old = bed.tickets[1];
  bed.dialer.close(old);
  const OriginDialer::Step asked = bed.start(bed.want(2));
  CHECK(asked.state == State::kWaiting);
  CHECK(asked.origin == ipc::OriginRef{});
  CHECK(asked.endpoint == Endpoint{});
  CHECK(bed.dialer.descriptor(old) == -1);
  CHECK(bed.dialer.on_ready(old, EPOLLOUT).state == State::kWaiting);
  bed.settle(2, {Bed::to(bed.origin({alive.at}))});
  CHECK(bed.last[2].state == State::kOpen);
  REQUIRE(bed.requests.size() == 1);
  CHECK(bed.requests[0].failed_count == 0);
}

TEST_CASE("only RTMP and HTTP endpoints get PROXY headers") {
  ipc::OriginRecord record;
  record.proxy_protocol = 2;
  for (const EndpointKind kind : {EndpointKind::kRtmp, EndpointKind::kHttp, EndpointKind::kApi,
                                  EndpointKind::kSrt, EndpointKind::kRtc}) {
    const bool has = kind == EndpointKind::kRtmp || kind == EndpointKind::kHttp;
    CHECK(target_of(record, kind, {}).proxy_protocol == (has ? 2 : 0));
  }
}
