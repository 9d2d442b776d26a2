// A state segment that a service left: its bytes are changed here and there, as the input says
// (place, then eight bytes), and what is taken from it must be whole.
#include "ipc/saved_state.h"

#include <cstdlib>
#include <cstring>
#include <vector>

#include "ipc/mapping.h"
#include "ipc/origin_walk.h"
#include "ipc/state_writer.h"

using namespace weir;
using namespace weir::ipc;

namespace {

// One good segment, with two origins and three streams.
std::vector<std::uint8_t> good_segment() {
  auto writer = StateWriter::make({4, 16, 4});
  if (!writer) std::abort();
  for (int i = 0; i < 2; ++i) {
    OriginRecord origin;
    const std::uint32_t slot = writer->take_origin(origin.generation);
    origin.state = OriginState::kUp;
    origin.name[0] = 'o';
    origin.endpoint_count[0] = 1;
    origin.endpoints[0][0].family = Family::kIpv4;
    origin.endpoints[0][0].port = 1935;
    writer->put_origin(slot, origin);
    StreamHead stream;
    stream.origin_slot = slot;
    stream.origin_generation = origin.generation;
    writer->add_stream("v/live/s" + std::to_string(i), stream);
    if (i == 1) writer->add_stream("v/live/" + std::string(300, 'x'), stream);
  }
  const auto size = file_size(writer->state_fd());
  const auto mapping = Mapping::map(writer->state_fd(), 0, *size, Mapping::Access::kRead);
  const auto* bytes = static_cast<const std::uint8_t*>(mapping->data());
  return {bytes, bytes + *size};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<std::uint8_t> good = good_segment();
  static const UniqueFd fd = std::move(*make_memfd("saved-state", good.size()));
  static const Mapping mapping =
      std::move(*Mapping::map(fd.get(), 0, good.size(), Mapping::Access::kWrite));
  auto* bytes = static_cast<std::uint8_t*>(mapping.data());
  std::memcpy(bytes, good.data(), good.size());
  constexpr std::size_t kPatch = 12;
  for (; size >= kPatch; data += kPatch, size -= kPatch) {
    std::uint32_t at = 0;
    std::memcpy(&at, data, sizeof at);
    std::memcpy(bytes + at % (good.size() - 8), data + sizeof at, 8);
  }
  auto view = StateView::map(fd.get());
  if (!view) return 0;
  (void)check_saved(*view, "boot", 1'000'000, 1'000'000);
  each_origin(*view, [](OriginRef, const OriginRecord& origin) {
    if (!plausible(origin)) return;
    for (std::size_t kind = 0; kind < kEndpointKinds; ++kind) {
      for (std::size_t i = 0; i < origin.endpoint_count[kind]; ++i) {
        if (to_string(origin.endpoints[kind][i], origin.hosts).empty()) std::abort();
      }
    }
  });
  for (std::uint32_t slot = 0; slot < view->header().stream_capacity; ++slot) {
    StreamRecord stream;
    if (!read_saved_stream(*view, slot, stream)) continue;
    if (keyed_hash(view->header().seed, stream.key_text()) != stream.hash) std::abort();
  }
  return 0;
}
