// Torture of the shared state, run by t/10ipc/test_seqlock.py.
//
//   ipc_torture readers MS  one writer changes the tables for MS milliseconds while readers check
//                           every record they see and are killed with SIGKILL in between
//   ipc_torture writer N    N writers are killed with SIGKILL at some instruction; whoever reads
//   what
//                           they left neither hangs nor sees a torn record
//
// Prints what was done; exit 0 when every record that was read was whole.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/route/balance.h"
#include "ipc/channel.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "ipc/state_writer.h"
#include "t/support/torture.h"

namespace {

using namespace weir::ipc;
using weir::route::mix;

constexpr std::uint32_t kOrigins = 32;
constexpr std::uint32_t kStreams = 128;
constexpr unsigned kKeys = 200;

std::string key_of(std::uint64_t n) {
  return "v/app/" + std::string(1 + n % 400, static_cast<char>('a' + n % 26)) + std::to_string(n);
}

bool is_key(std::string_view text) {
  for (unsigned n = 0; n < kKeys; ++n) {
    if (text == key_of(n)) return true;
  }
  return false;
}

// Every field follows from `stamp`, so that a mix of two writes shows.
StreamHead make_stream(std::uint64_t stamp, OriginRef origin) {
  StreamHead r;
  r.origin_slot = origin.slot;
  r.origin_generation = origin.generation;
  r.publishers = static_cast<std::uint32_t>(stamp);
  r.players = static_cast<std::uint32_t>(stamp * 7);
  r.created_wall_s = static_cast<std::uint32_t>(stamp ^ 0x5555);
  r.last_use_ms = mix(r.created_wall_s);
  return r;
}
bool whole(const StreamHead& r) {
  const std::uint32_t stamp = r.created_wall_s ^ 0x5555U;
  return r.publishers == stamp && r.players == stamp * 7 && r.last_use_ms == mix(r.created_wall_s);
}

OriginRecord make_origin(std::uint64_t stamp, std::uint32_t generation) {
  OriginRecord r;
  r.generation = generation;
  r.endpoint_count[0] = 1;
  r.state = stamp % 5 == 0 ? OriginState::kDead : OriginState::kUp;
  r.registered_wall_ms = stamp;
  r.heartbeat_ms = mix(stamp);
  std::memset(r.name, static_cast<int>('a' + stamp % 26), sizeof r.name - 1);
  for (auto& kind : r.endpoints) {
    for (weir::Endpoint& e : kind) e.port = static_cast<std::uint16_t>(stamp);
  }
  return r;
}
bool whole(const OriginRecord& r) {
  const std::uint64_t stamp = r.registered_wall_ms;
  if (r.heartbeat_ms != mix(stamp)) return false;
  for (std::size_t i = 0; i + 1 < sizeof r.name; ++i) {
    if (r.name[i] != static_cast<char>('a' + stamp % 26)) return false;
  }
  for (const auto& kind : r.endpoints) {
    for (const weir::Endpoint& e : kind) {
      if (e.port != static_cast<std::uint16_t>(stamp)) return false;
    }
  }
  return true;
}

// One look at everything; false when a record was torn.
bool look(const StateView& view, std::uint64_t random) {
  const std::string key = key_of(random % kKeys);
  StreamRecord stream;
  if (view.find_stream(key, stream) && (!whole(stream) || stream.key_length != key.size())) {
    return false;
  }
  view.find_route(key, Role::kPlayer, EndpointKind::kRtmp);
  if (view.read_stream(static_cast<std::uint32_t>(random >> 32) % kStreams, stream) &&
      (!whole(stream) || !is_key(stream.key_text()))) {
    return false;
  }
  OriginRecord origin;
  return !view.read_origin(static_cast<std::uint32_t>(random >> 40) % kOrigins, origin) ||
         whole(origin);
}

class Writer {
 public:
  explicit Writer(StateWriter state) : state_(std::move(state)) {
    for (std::uint32_t i = 0; i < kOrigins; ++i) {
      std::uint32_t generation = 0;
      const std::uint32_t slot = state_.take_origin(generation);
      state_.put_origin(slot, make_origin(i, generation));
      origins_.push_back({slot, generation});
    }
  }
  int fd() const { return state_.state_fd(); }
  void step() {
    random_ = mix(random_);
    const OriginRef origin = origins_[random_ % kOrigins];
    state_.put_origin(origin.slot, make_origin(random_ >> 8, origin.generation));
    const std::string key = key_of((random_ >> 20) % kKeys);
    const auto known = model_.find(key);
    if (known == model_.end()) {
      const std::uint32_t slot = state_.add_stream(key, make_stream(random_ >> 8, origin));
      if (slot != kNoSlot) model_[key] = slot;
    } else if ((random_ >> 50) % 3 == 0) {
      state_.erase_stream(known->second);
      model_.erase(known);
    } else {
      const StreamHead old = state_.stream_head(known->second);
      StreamHead next = make_stream(random_ >> 8, origin);
      next.hash = old.hash;
      next.key_length = old.key_length;
      state_.put_stream(known->second, next);
    }
  }
  bool agrees() const {
    for (unsigned n = 0; n < kKeys; ++n) {
      const auto known = model_.find(key_of(n));
      if (state_.find_stream(key_of(n)) != (known == model_.end() ? kNoSlot : known->second)) {
        return false;
      }
    }
    return true;
  }

 private:
  StateWriter state_;
  std::vector<OriginRef> origins_;
  std::map<std::string, std::uint32_t> model_;
  std::uint64_t random_ = 11;
};

int torture_readers(std::uint64_t ms) {
  auto made = StateWriter::make({kOrigins, kStreams});
  if (!made) return 1;
  Writer writer(std::move(*made));
  return weir::torture::torture_readers(
      writer.fd(), ms, look, [&] { writer.step(); }, [&] { return writer.agrees(); });
}

[[noreturn]] void write_forever(Channel channel) {
  auto made = StateWriter::make({kOrigins, kStreams});
  if (!made) ::_exit(1);
  Writer writer(std::move(*made));
  Ready ready;
  channel.send(encode(ready), writer.fd());
  for (;;) writer.step();
}

bool kill_one_writer(std::uint64_t round) {
  auto pair = Channel::make_pair();
  if (!pair) return false;
  const pid_t pid = ::fork();
  if (pid == 0) write_forever(std::move(pair->second));
  Received received;
  const std::uint64_t deadline = weir::monotonic_ms() + 10000;
  while (received.status != ReceiveStatus::kMessage && weir::monotonic_ms() < deadline) {
    received = pair->first.receive();
  }
  bool fine = false;
  if (received.fd) {
    auto view = StateView::map(received.fd.get());
    std::uint64_t random = mix(round);
    fine = view.has_value();
    for (std::uint64_t i = 0; fine && i < 200 + random % 500; ++i)
      fine = look(*view, mix(random + i));
    ::kill(pid, SIGKILL);
    for (std::uint64_t i = 0; fine && i < 2000; ++i) fine = look(*view, mix(random + i));
  }
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  return fine;
}

int torture_writer(std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    if (kill_one_writer(i)) continue;
    std::printf("writer %llu left a torn record\n", static_cast<unsigned long long>(i));
    return 1;
  }
  std::printf("%llu writers killed, all whole\n", static_cast<unsigned long long>(count));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::uint64_t amount = std::strtoull(argv[2], nullptr, 10);
  return std::string(argv[1]) == "readers" ? torture_readers(amount) : torture_writer(amount);
}
