// Whom an origin's Location names (RFC 9110, section 10.2.2): the host as it is written, and which
// origin that is. Pure but for reading the shared state. Owner: the caller; views are into the
// Location.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/endpoint.h"
#include "ipc/route_reader.h"

namespace weir::http {

struct Authority {
  std::string_view text;   // host and port; empty: a reference within the server that was asked
  std::string host;        // without port and brackets, in lower case
  std::uint16_t port = 0;  // without one the scheme's; 0: it is no number
};

// Of an http or https URL, or of one that begins with `//`.
Authority authority_of(std::string_view location);

struct OriginAt {
  ipc::OriginRef origin;
  Endpoint endpoint;
};
// The origin that has an endpoint of this kind there, whatever its state: by address, or by the
// name that it was given.
std::optional<OriginAt> find_origin_at(const ipc::StateView& state, ipc::EndpointKind kind,
                                       const Authority& there);

}  // namespace weir::http
