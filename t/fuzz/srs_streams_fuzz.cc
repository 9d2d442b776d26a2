// Any bytes as an answer of SRS's API: t/fuzz/origin_rows.h.
#include "common/proto/origin_api/srs_streams.h"
#include "t/fuzz/origin_rows.h"

using namespace weir;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::check_rows<origin_api::SrsStreams>(
      {data, size}, [](const auto& reader) { return std::to_string(reader.rows()); });
  return 0;
}
