// Torture of the session table, run by t/10ipc/test_flows.py.
//
//   flow_torture MS  one writer changes the table for MS milliseconds while readers check every
//                    record they see and are killed with SIGKILL in between
//
// Prints what was done; exit 0 when every record that was read was whole.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/route/balance.h"
#include "ipc/flow_reader.h"
#include "ipc/flow_writer.h"
#include "t/support/torture.h"

namespace {

using namespace weir::ipc;
using weir::route::mix;

constexpr std::uint32_t kCapacity = 256;

weir::Endpoint client_of(std::uint64_t stamp) {
  weir::Endpoint e;
  e.family = weir::Family::kIpv4;
  e.ip[0] = 10;
  e.port = static_cast<std::uint16_t>(1 + stamp % 60000);
  return e;
}
std::string username_of(std::uint64_t stamp) {
  return "user" + std::string(stamp % 200, 'u') + ":" + std::to_string(stamp % 1000);
}
// Every field follows from `session`, so that a mix of two writes shows.
FlowRecord make_flow(std::uint64_t stamp) {
  FlowRecord r;
  r.session = stamp;
  r.state = FlowState::kConnected;
  r.client = client_of(stamp);
  r.created_ms = mix(stamp);
  r.counters.drops = mix(stamp + 1);
  r.text.set(FlowField::kUsername, username_of(stamp));
  r.text.set(FlowField::kKey, "v/a/" + std::to_string(stamp));
  return r;
}
bool whole(const FlowRecord& r) {
  return r.created_ms == mix(r.session) && r.counters.drops == mix(r.session + 1) &&
         r.get(FlowField::kUsername) == username_of(r.session) &&
         r.get(FlowField::kKey) == "v/a/" + std::to_string(r.session);
}

bool look(const FlowView& view, std::uint64_t random) {
  FlowRecord r;
  const std::string username = username_of(random);
  if (view.find_username(username, r) && (!whole(r) || r.get(FlowField::kUsername) != username)) {
    return false;
  }
  if (view.find_client(client_of(random), r) &&
      (!whole(r) || !same_endpoint(r.client, client_of(random)))) {
    return false;
  }
  return !view.read_slot(static_cast<std::uint32_t>(random >> 32) % kCapacity, r) || whole(r);
}

void step(FlowWriter& table, std::uint64_t random) {
  const auto slot = static_cast<std::uint32_t>((random >> 20) % kCapacity);
  const FlowRecord last = table.get(slot);
  if (last.state == FlowState::kFree) {
    table.add(make_flow(random));
  } else if (random % 3 == 0) {
    table.erase(slot);
  } else {
    FlowRecord next = make_flow(random);
    next.generation = last.generation;
    table.put(slot, next);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto table = FlowWriter::make(kCapacity);
  if (!table) return 1;
  std::uint64_t random = 7;
  const auto next = [&] {
    random = mix(random);
    step(*table, random);
  };
  return weir::torture::torture_readers(table->reader_fd(), std::strtoull(argv[1], nullptr, 10),
                                        look, next, [] { return true; });
}
