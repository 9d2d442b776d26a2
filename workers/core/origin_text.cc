#include "workers/core/origin_text.h"

#include "common/base/bytes.h"

namespace weir {

std::string origin_text(const ipc::StateView& state, ipc::OriginRef origin,
                        const Endpoint& endpoint) {
  std::string text;
  ipc::OriginRecord record;
  const bool there = state.read_origin(origin, record);
  if (there) text = text_of(record.name);
  if (there && !endpoint.empty()) text += "@";
  if (!endpoint.empty()) text += to_string(endpoint);
  return text;
}

}  // namespace weir
