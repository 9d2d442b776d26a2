#include "common/route/srt_key.h"

#include <string>

namespace weir::route {

StreamKey from_srt(const srt::StreamId& id) {
  KeyParts parts;
  parts.app = id.app;
  parts.stream = id.stream;
  std::string query = id.rest;
  if (!id.vhost.empty()) {
    if (id.vhost.find_first_of("/&?") != std::string_view::npos) {
      StreamKey refused;
      refused.error = KeyError::kBadHost;
      return refused;
    }
    query = "vhost=";
    query += id.vhost;
  }
  parts.query = query;
  return make_stream_key(parts);
}

}  // namespace weir::route
