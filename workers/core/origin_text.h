// An origin as logs name it.
#pragma once

#include <string>

#include "common/base/endpoint.h"
#include "ipc/route_reader.h"

namespace weir {

// `name@address`; the name alone without an address, the address alone when the origin has left.
std::string origin_text(const ipc::StateView& state, ipc::OriginRef origin,
                        const Endpoint& endpoint = {});

}  // namespace weir
