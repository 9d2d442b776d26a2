// Cost of a route: a hit in shared memory, and a miss, which is one message to a process that has
// the registry's part of the work (look-up, record, answer) and one back over a real channel.
//   make bench-bins; build/t/90bench/route_micro
#include <benchmark/benchmark.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include "common/route/balance.h"
#include "ipc/channel.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "ipc/state_writer.h"

namespace {

using namespace weir::ipc;

std::string key_of(std::uint64_t n) {
  return "__defaultVhost__/live/stream-" + std::to_string(n);
}

struct Table {
  explicit Table(std::uint32_t streams) : writer(*StateWriter::make({64, streams})) {
    OriginRecord origin;
    const std::uint32_t slot = writer.take_origin(origin.generation);
    origin.state = OriginState::kUp;
    origin.endpoint_count[0] = 1;
    writer.put_origin(slot, origin);
    ref = {slot, origin.generation};
  }
  std::uint32_t add(std::string_view key) {
    StreamRecord record;
    record.origin_slot = ref.slot;
    record.origin_generation = ref.generation;
    return writer.add_stream(key, record);
  }
  StateWriter writer;
  OriginRef ref;
};

void route_hit(benchmark::State& state) {
  const auto streams = static_cast<std::uint32_t>(state.range(0));
  Table table(65536);
  std::vector<std::string> keys;
  for (std::uint32_t i = 0; i < streams; ++i) {
    keys.push_back(key_of(i));
    table.add(keys.back());
  }
  const StateView view = *StateView::map(table.writer.state_fd());
  std::size_t i = 0;
  std::uint64_t hits = 0;
  for (auto _ : state) {
    i = (i + 7919) % keys.size();
    hits += view.find_route(keys[i], Role::kPlayer, EndpointKind::kRtmp).has_value() ? 1U : 0U;
  }
  if (hits != static_cast<std::uint64_t>(state.iterations()))
    state.SkipWithError("a stream was not found");
}
BENCHMARK(route_hit)->Arg(1)->Arg(1000)->Arg(30000);

[[noreturn]] void serve(Channel channel) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Table table(65536);
  pollfd waiting{channel.fd(), POLLIN, 0};
  std::vector<std::uint32_t> slots;
  for (;;) {
    ::poll(&waiting, 1, -1);
    for (;;) {
      const Received received = channel.receive();
      if (received.status == ReceiveStatus::kEmpty) break;
      if (received.status == ReceiveStatus::kClosed) ::_exit(0);
      RouteRequest request;
      if (!decode(received.bytes, request)) continue;
      RouteAnswer answer;
      answer.header.request = request.header.request;
      answer.status = RouteStatus::kOk;
      answer.origin = table.ref;
      if (table.writer.find_stream(request.key.view()) == kNoSlot) {
        slots.push_back(table.add(request.key.view()));
        if (slots.size() == 30000) {
          for (const std::uint32_t slot : slots) table.writer.erase_stream(slot);
          slots.clear();
        }
      }
      channel.send(encode(answer));
    }
  }
}

// One question at a time, both sides asleep before it: the worst case of an idle machine.
void route_miss(benchmark::State& state) {
  auto pair = *Channel::make_pair();
  const pid_t server = ::fork();
  if (server == 0) {
    pair.first.release().reset();
    serve(std::move(pair.second));
  }
  pair.second.release().reset();
  std::vector<double> times;
  std::uint64_t n = 0;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    RouteRequest request;
    request.key.assign(key_of(n++));
    pair.first.send(encode(request));
    pollfd waiting{pair.first.fd(), POLLIN, 0};
    ::poll(&waiting, 1, -1);
    RouteAnswer answer;
    const Received received = pair.first.receive();
    if (!decode(received.bytes, answer)) state.SkipWithError("no answer");
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    times.push_back(took.count());
  }
  ::kill(server, SIGKILL);
  ::waitpid(server, nullptr, 0);
  std::sort(times.begin(), times.end());
  if (times.empty()) return;
  state.counters["p50_us"] = times[times.size() / 2];
  state.counters["p99_us"] = times[times.size() * 99 / 100];
}
BENCHMARK(route_miss)->UseRealTime()->MinTime(2.0);

}  // namespace

BENCHMARK_MAIN();
