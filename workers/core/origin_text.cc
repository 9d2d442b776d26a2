#include "workers/core/origin_text.h"

#include "common/base/bytes.h"

namespace weir {

std::string origin_text(const ipc::StateView& state, ipc::OriginRef origin,
                        const Endpoint& endpoint) {
  const std::string address = endpoint.empty() ? std::string() : to_string(endpoint);
  ipc::OriginRecord record;
  if (!state.read_origin(origin, record)) return address;
  const std::string name(text_of(record.name));
  return address.empty() ? name : name + "@" + address;
}

}  // namespace weir
