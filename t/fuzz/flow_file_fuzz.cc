// A session file: what is taken from it is whole, whatever else stands there.
#include "ipc/flow_file.h"

#include <cstdlib>
#include <cstring>

using namespace weir;
using namespace weir::ipc;

static void read(ByteView file) {
  const auto saved = read_flows(file, "boot", 1'000'000, 1'000'000);
  if (!saved) return;
  for (const SavedFlow& flow : saved->flows) {
    if (!plausible(flow.record, 1'000'000)) std::abort();
    for (std::size_t i = 0; i < kFlowFields; ++i) (void)flow.record.get(FlowField(i)).size();
  }
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::uint64_t> words(size / 8);
  const std::size_t bytes = words.size() * 8;
  if (bytes < sizeof(FlowHeader)) return 0;
  std::memcpy(words.data(), data, bytes);
  auto* header = reinterpret_cast<FlowHeader*>(words.data());
  const ByteView file(reinterpret_cast<const std::uint8_t*>(words.data()), bytes);
  read(file);
  header->magic = kFlowMagic;
  header->version = kFlowVersion;
  std::strcpy(header->boot_id, "boot");
  header->mark = header->capacity;
  read(file);
  return 0;
}
