// Any bytes as nginx-rtmp's statistics, whole, byte by byte and in pieces: the same rows and the
// same end, and nothing longer than a key may be.
#include <cstdlib>
#include <string>

#include "common/proto/origin_api/nginx_stat.h"

using namespace weir;

static std::string read(ByteView all, std::size_t step) {
  origin_api::NginxStat reader;
  std::string out;
  for (std::size_t at = 0; at < all.size(); at += step) {
    ByteView in = all.subspan(at, std::min(step, all.size() - at));
    for (;;) {
      const origin_api::RowStep found = reader.next(in);
      if (found == origin_api::RowStep::kNeedMore) break;
      if (found == origin_api::RowStep::kInvalid) return out + std::string(reader.error());
      const origin_api::StreamRow& row = reader.row();
      if (row.name.empty() || row.app.empty() || row.name.size() > 512) std::abort();
      for (const std::string_view text : {row.vhost, row.app, row.name, row.video, row.audio}) {
        out.append(text).push_back('\n');
      }
      out += std::to_string(row.bits_per_second) + ' ' + std::to_string(row.clients) + '\n';
    }
    if (!in.empty()) std::abort();
  }
  out += reader.complete() ? "whole " : "not whole ";
  return out + std::to_string(reader.pid()) + ' ' + std::to_string(reader.skipped());
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string whole = read({data, size}, SIZE_MAX / 2);
  for (const std::size_t step : {1U, 2U, 7U, 64U}) {
    if (read({data, size}, step) != whole) std::abort();
  }
  return 0;
}
