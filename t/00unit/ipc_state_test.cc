#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <set>
#include <string>

#include "common/route/balance.h"
#include "ipc/counters.h"
#include "ipc/route_reader.h"
#include "ipc/state_writer.h"

namespace {

using namespace weir::ipc;
using weir::route::mix;

StateWriter make_writer(std::uint32_t origins, std::uint32_t streams) {
  auto writer = StateWriter::make({origins, streams});
  REQUIRE(writer.has_value());
  return std::move(*writer);
}

StateView make_view(const StateWriter& writer) {
  auto view = StateView::map(writer.state_fd());
  REQUIRE(view.has_value());
  return std::move(*view);
}

OriginRef add_origin(StateWriter& writer, OriginState state = OriginState::kUp) {
  OriginRecord record;
  const std::uint32_t slot = writer.take_origin(record.generation);
  REQUIRE(slot != kNoSlot);
  record.state = state;
  record.endpoint_count[static_cast<std::size_t>(EndpointKind::kRtmp)] = 1;
  writer.put_origin(slot, record);
  return {slot, record.generation};
}

StreamRecord at(OriginRef ref) {
  StreamRecord record;
  record.origin_slot = ref.slot;
  record.origin_generation = ref.generation;
  return record;
}

}  // namespace

TEST_CASE("a stream is found by its key, and only while its origin is up and the same") {
  StateWriter writer = make_writer(4, 16);
  const StateView view = make_view(writer);
  const OriginRef ref = add_origin(writer);
  CHECK_FALSE(view.find_route("v/a/s", Role::kPlayer, EndpointKind::kRtmp).has_value());
  const std::uint32_t slot = writer.add_stream("v/a/s", at(ref));
  CHECK(view.find_route("v/a/s", Role::kPlayer, EndpointKind::kRtmp) == ref);
  CHECK(view.find_route("v/a/s", Role::kPublisher, EndpointKind::kRtmp) == ref);
  CHECK_FALSE(view.find_route("v/a/s", Role::kPlayer, EndpointKind::kHttp).has_value());
  CHECK_FALSE(view.find_route("v/a/t", Role::kPlayer, EndpointKind::kRtmp).has_value());
  CHECK_FALSE(view.find_route("", Role::kPlayer, EndpointKind::kRtmp).has_value());
  CHECK_FALSE(
      view.find_route(std::string(600, 'x'), Role::kPlayer, EndpointKind::kRtmp).has_value());
  OriginRecord record;
  record.generation = ref.generation;
  record.endpoint_count[0] = record.endpoint_count[1] = 1;
  for (const OriginState state : {OriginState::kDead, OriginState::kFree}) {
    record.state = state;
    writer.put_origin(ref.slot, record);
    CHECK_FALSE(view.find_route("v/a/s", Role::kPlayer, EndpointKind::kRtmp).has_value());
  }
  // One endpoint is ejected: that is nothing to the others.
  record.state = OriginState::kUp;
  record.ejected_kinds = 1U << static_cast<unsigned>(EndpointKind::kHttp);
  writer.put_origin(ref.slot, record);
  CHECK(view.find_route("v/a/s", Role::kPlayer, EndpointKind::kRtmp) == ref);
  CHECK_FALSE(view.find_route("v/a/s", Role::kPlayer, EndpointKind::kHttp).has_value());
  // Where somebody publishes, a stream is found whatever is said of the origin.
  StreamRecord live = writer.stream(slot);
  live.publishers = 1;
  writer.put_stream(slot, live);
  record.state = OriginState::kDead;
  writer.put_origin(ref.slot, record);
  CHECK(view.find_route("v/a/s", Role::kPlayer, EndpointKind::kHttp) == ref);
  CHECK(view.find_route("v/a/s", Role::kPublisher, EndpointKind::kRtmp) == ref);
  CHECK_FALSE(view.find_route("v/a/s", Role::kPlayer, EndpointKind::kSrt).has_value());
  OriginRecord other;
  other.generation = ref.generation + 1;
  other.state = OriginState::kUp;
  other.endpoint_count[0] = 1;
  writer.put_origin(ref.slot, other);
  CHECK_FALSE(view.find_route("v/a/s", Role::kPlayer, EndpointKind::kRtmp).has_value());
  writer.erase_stream(slot);
  StreamRecord gone;
  CHECK_FALSE(view.read_stream(slot, gone));
}

TEST_CASE("a draining origin serves only streams that live there") {
  StateWriter writer = make_writer(4, 16);
  const StateView view = make_view(writer);
  const OriginRef ref = add_origin(writer);
  OriginRecord origin;
  origin.generation = ref.generation;
  origin.state = OriginState::kUp;
  origin.draining = true;
  origin.endpoint_count[0] = 1;
  writer.put_origin(ref.slot, origin);
  const std::uint32_t slot = writer.add_stream("v/a/s", at(ref));
  StreamRecord stream = writer.stream(slot);
  const auto hit = [&](Role role) {
    return view.find_route("v/a/s", role, EndpointKind::kRtmp).has_value();
  };
  CHECK_FALSE(hit(Role::kPlayer));
  CHECK_FALSE(hit(Role::kPublisher));
  stream.players = 1;
  writer.put_stream(slot, stream);
  CHECK(hit(Role::kPlayer));
  CHECK_FALSE(hit(Role::kPublisher));
  stream.players = 0;
  stream.publishers = 1;
  writer.put_stream(slot, stream);
  CHECK(hit(Role::kPlayer));
  CHECK(hit(Role::kPublisher));
}

TEST_CASE("the stream index agrees with a map after any order of inserts and erases") {
  constexpr std::uint32_t kStreams = 64;  // small and often full: long runs, many shifts
  StateWriter writer = make_writer(2, kStreams);
  const StateView view = make_view(writer);
  const OriginRef ref = add_origin(writer);
  std::map<std::string, std::uint32_t> model;
  std::uint64_t random = 1;
  for (int step = 0; step < 20000; ++step) {
    random = mix(random);
    const std::string key = "v/a/" + std::to_string(random % 150);
    const auto known = model.find(key);
    if (known != model.end()) {
      CHECK(writer.find_stream(key) == known->second);
      if ((random >> 32) % 2 == 0) {
        writer.erase_stream(known->second);
        model.erase(known);
      }
      continue;
    }
    CHECK(writer.find_stream(key) == kNoSlot);
    const std::uint32_t slot = writer.add_stream(key, at(ref));
    CHECK((slot != kNoSlot) == (model.size() < kStreams));
    if (slot != kNoSlot) model[key] = slot;
    if (step % 50 == 0) {
      for (const auto& [name, where] : model) {
        CHECK(writer.find_stream(name) == where);
        CHECK(view.find_route(name, Role::kPlayer, EndpointKind::kRtmp).has_value());
      }
    }
  }
  CHECK(writer.header().streams_used.load() == model.size());
}

TEST_CASE("origin slots are reused with another generation") {
  StateWriter writer = make_writer(2, 16);
  const OriginRef first = add_origin(writer);
  add_origin(writer);
  std::uint32_t generation = 0;
  CHECK(writer.take_origin(generation) == kNoSlot);
  writer.free_origin(first.slot);
  const OriginRef again = add_origin(writer);
  CHECK(again.slot == first.slot);
  CHECK(again.generation != first.generation);
}

TEST_CASE("the part of an origin's record that a dial reads ends with the endpoints of its kind") {
  StateWriter writer = make_writer(2, 16);
  const StateView view = make_view(writer);
  const OriginRef ref = add_origin(writer);
  OriginRecord whole;
  REQUIRE(view.read_origin(ref, whole));
  whole.name[0] = 'x';
  std::uint16_t port = 1;
  for (std::size_t kind = 0; kind < weir::ipc::kEndpointKinds; ++kind) {
    whole.endpoint_count[kind] = weir::limits::kEndpointsPerKind;
    for (weir::Endpoint& endpoint : whole.endpoints[kind]) {
      endpoint.family = weir::Family::kIpv6;
      endpoint.port = port++;
      std::fill(std::begin(endpoint.ip), std::end(endpoint.ip), std::uint8_t{0xA5});
    }
  }
  writer.put_origin(ref.slot, whole);
  for (std::size_t kind = 0; kind < weir::ipc::kEndpointKinds; ++kind) {
    OriginRecord part;
    REQUIRE(view.read_endpoints(ref, static_cast<EndpointKind>(kind), part));
    CHECK(part.has(static_cast<EndpointKind>(kind)));
    CHECK(std::equal(std::begin(part.endpoints[kind]), std::end(part.endpoints[kind]),
                     std::begin(whole.endpoints[kind])));
    CHECK(part.name[0] == '\0');
  }
  OriginRecord part;
  CHECK_FALSE(view.read_endpoints({ref.slot, ref.generation + 1}, EndpointKind::kHttp, part));
  CHECK_FALSE(view.read_endpoints({2, 1}, EndpointKind::kHttp, part));
  writer.free_origin(ref.slot);
  CHECK_FALSE(view.read_endpoints(ref, EndpointKind::kHttp, part));
}

TEST_CASE("nobody can write the state segment, or change its size") {
  StateWriter writer = make_writer(2, 16);
  const auto size = static_cast<std::size_t>(writer.header().total_bytes);
  // Nor who opens it again, as root may.
  const std::string self = "/proc/self/fd/" + std::to_string(writer.state_fd());
  const weir::UniqueFd again(::open(self.c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(again);
  for (const int fd : {writer.state_fd(), again.get()}) {
    const bool mapped =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED;
    CHECK_FALSE(mapped);
    CHECK(::pwrite(fd, "x", 1, 0) == -1);
    CHECK(::ftruncate(fd, 0) == -1);
  }
  CHECK((::fcntl(writer.state_fd(), F_GET_SEALS) & F_SEAL_FUTURE_WRITE) != 0);
}

TEST_CASE("a segment that is none of ours is refused") {
  auto fd = make_memfd("weir-test", 1 << 20);
  REQUIRE(fd.has_value());
  CHECK_FALSE(StateView::map(fd->get()).has_value());
  auto small = make_memfd("weir-test", 16);
  REQUIRE(small.has_value());
  CHECK_FALSE(StateView::map(small->get()).has_value());
}

TEST_CASE("counters outlive their process, gauges do not") {
  StateWriter writer = make_writer(2, 16);
  const StateView view = make_view(writer);
  REQUIRE(writer.expect_workers(2).has_value());
  const CountersView all(writer.counters().all());
  const std::uint32_t page = writer.take_worker();
  WorkerRecord worker;
  worker.pid = 1234;
  worker.state = WorkerState::kReady;
  writer.put_worker(page, worker);
  CHECK(writer.take_worker() != page);
  {
    Counters mine(writer.counters().page(page));
    mine.add(Counter::kRtmpAccepted, 5);
    mine.add(Counter::kRtmpConnections, 3);
    mine.sub(Counter::kRtmpConnections);
    CHECK(mine.get(Counter::kRtmpAccepted) == 5);
  }
  CHECK(all.total(view, Counter::kRtmpAccepted) == 5);
  CHECK(all.total(view, Counter::kRtmpConnections) == 2);
  writer.free_worker(page);
  CHECK(all.total(view, Counter::kRtmpAccepted) == 5);
  CHECK(all.total(view, Counter::kRtmpConnections) == 0);
  CHECK(all.get(page, Counter::kRtmpAccepted) == 0);
  WorkerRecord gone;
  CHECK_FALSE(view.read_worker(page, gone));
  CHECK(all.get(kMaxWorkers, Counter::kRtmpAccepted) == 0);
}

namespace {

// In a child that was lent page 1 of 3: the bits of what it could do and should not, or could not.
int tamper(CounterPages& pages) {
  int wrong = 0;
  CounterCell* own = pages.page(1);
  own[0].store(7);
  const CounterArea all = pages.all();
  if (all.cells[kCountersPerPage].load() != 7) wrong |= 1;
  // What it can read it cannot make writable, and the pages of others are not there for writing.
  void* const readable = const_cast<CounterCell*>(all.cells);
  for (std::size_t slot = 0; slot < 3; ++slot) {
    auto* const page = static_cast<std::uint8_t*>(readable) + slot * kCounterPageBytes;
    if (::mprotect(page, kCounterPageBytes, PROT_READ | PROT_WRITE) == 0) wrong |= 2;
  }
  unsigned char resident = 0;
  for (const std::uint32_t slot : {0U, 2U}) {
    if (::mincore(pages.page(slot), kCounterPageBytes, &resident) == 0) wrong |= 4;
  }
  // Stretched, the mapping of its own page ends where the file does.
  void* const longer = ::mremap(own, kCounterPageBytes, 3 * kCounterPageBytes, MREMAP_MAYMOVE);
  if (longer == MAP_FAILED) return wrong;
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return wrong | 8;
  auto* const beyond = static_cast<std::uint8_t*>(longer) + kCounterPageBytes;
  if (::write(ends[1], beyond, 1) == 1) wrong |= 16;
  if (::write(ends[1], longer, 1) != 1 || ::read(ends[0], beyond, 1) == 1) wrong |= 32;
  return wrong;
}

}  // namespace

TEST_CASE("a process can write the counter page that it was lent, and no other") {
  auto pages = CounterPages::make(3);
  REQUIRE(pages.has_value());
  REQUIRE(pages->grow(3).has_value());
  CHECK_FALSE(pages->grow(4).has_value());
  pages->page(0)[0].store(5);
  pid_t pid = 0;
  {
    const CounterPages::Loan loan(*pages, 1);
    REQUIRE(loan.ok());
    pid = ::fork();
    if (pid == 0) ::_exit(tamper(*pages));
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
  CHECK(pages->page(1)[0].load() == 7);
  CHECK(pages->page(0)[0].load() == 5);
  CHECK(pages->page(2)[0].load() == 0);
  // The loan is over: the next child has no page.
  pid = ::fork();
  unsigned char resident = 0;
  if (pid == 0) ::_exit(::mincore(pages->page(1), kCounterPageBytes, &resident) == 0 ? 1 : 0);
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
}

TEST_CASE("the metric table has no family of two kinds or texts, and no row twice") {
  std::map<std::string_view, const MetricInfo*> families;
  std::set<std::string> rows;
  for (const MetricInfo& metric : metric_table()) {
    const auto [known, added] = families.emplace(metric.name, &metric);
    CHECK(known->second->kind == metric.kind);
    CHECK(known->second->doc == metric.doc);
    CHECK(rows.insert(std::string(metric.name) + "{" + std::string(metric.labels)).second);
    CHECK(metric.name.starts_with("weir_"));
    CHECK((metric.kind == MetricKind::kCounter) == metric.name.ends_with("_total"));
  }
}
