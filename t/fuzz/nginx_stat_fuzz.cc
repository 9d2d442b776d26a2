// Any bytes as nginx-rtmp's statistics: t/fuzz/origin_rows.h.
#include "common/proto/origin_api/nginx_stat.h"
#include "t/fuzz/origin_rows.h"

using namespace weir;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::check_rows<origin_api::NginxStat>(
      {data, size}, [](const auto& reader) { return std::to_string(reader.pid()); });
  return 0;
}
