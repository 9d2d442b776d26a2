// For the fuzz targets of APIs of origins: any bytes, whole, byte by byte and in pieces, give the
// same rows and the same end, and nothing longer than a key may be.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/base/bytes.h"
#include "common/proto/origin_api/stream_row.h"

namespace weir::fuzz {

// `end_text`: what else the reader says of an answer.
template <typename Reader, typename EndText>
std::string read_rows(ByteView all, std::size_t step, const EndText& end_text) {
  Reader reader;
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
      out += std::to_string(row.bits_per_second) + '\n';
    }
    if (!in.empty()) std::abort();
  }
  out += reader.complete() ? "whole " : "not whole ";
  return out + std::to_string(reader.skipped()) + ' ' + end_text(reader);
}

template <typename Reader, typename EndText>
void check_rows(ByteView all, const EndText& end_text) {
  const std::string whole = read_rows<Reader>(all, SIZE_MAX / 2, end_text);
  for (const std::size_t step : {1U, 2U, 7U, 64U}) {
    if (read_rows<Reader>(all, step, end_text) != whole) std::abort();
  }
}

}  // namespace weir::fuzz
